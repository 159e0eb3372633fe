"""What a project says that it needs, read from its files. Nothing of the project is run.

Read are pyproject.toml (PEP 621, PEP 735, Poetry, Flit, PDM, Hatch), setup.cfg, the syntax tree of
setup.py, tox.ini, and requirements files.
"""

from __future__ import annotations

import ast
import configparser
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_TESTS: Final = re.compile(r"(?:^|[-_.])(?:tests?|testing|dev|development|all)(?:$|[-_.])")
_REQUIREMENT_FILES: Final = (
    *("requirements*.txt", "*requirements.txt", "requirements/*.txt"),
    *("test/*requirements*.txt", "tests/*requirements*.txt"),
)
# Modules whose distribution has another name, beside those that differ by "python-" or "py".
_OTHER_NAMES: Final = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "google": "protobuf",
    "jwt": "pyjwt",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "pkg_resources": "setuptools",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
# Every virtual environment had it, so projects did not declare it. Later ones lack pkg_resources.
_LOOKS_UP: Final = re.compile(r"importlib[._]metadata|importlib import metadata|pkg_resources")
_SETUPTOOLS: Final = "setuptools<81"
_TEST_RUNNERS: Final = frozenset({"pytest", "setuptools"})
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?", re.ASCII)  # PEP 508
_MAX_INCLUDED: Final = 100  # files or groups, each at most once
_MAX_ITEMS: Final = 10_000  # in a list of setup.py
_MAX_TEXT: Final = 500  # of a requirement


@dataclass(frozen=True, slots=True)
class Declared:
    """A project's metadata.

    name: of its distribution, "" if it has none. python: the versions of Python that it supports,
    e.g. ">=3.9", "" if it does not say. requirements: what the project and its tests need here
    (PEP 508), sorted. refused: requirements that are no names in an index, such as URLs.
    version_files: modules that only its build would write.
    """

    name: str = ""
    python: str = ""
    requirements: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    version_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """What one file says. needs: requirements; tests: those that only a developer needs."""

    name: str = ""
    python: str = ""
    needs: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    version_files: tuple[str, ...] = ()


def read_declared(tree: Path, imported: Iterable[str]) -> Declared:
    """What a project's files declare.

    imported: top-level modules that its code and tests import and that it does not have. A
    requirement of its development counts only if one of them has its name.
    """
    imported = set(imported)
    found = [
        _of_pyproject(_toml(tree / "pyproject.toml")),
        _of_setup_cfg(_ini(tree / "setup.cfg")),
        _of_setup_py(_text(tree / "setup.py")),
        _of_tox(_ini(tree / "tox.ini"), tree),
        *(_Found(tests=tuple(_lines(tree, path))) for path in _requirement_files(tree)),
    ]
    name = next((one.name for one in found if _NAME.fullmatch(one.name)), "")
    kept, refused = dict[str, list[str]](), list[str]()
    for one in found:
        chosen = dict[str, list[str]]()
        for text, must in [*((t, True) for t in one.needs), *((t, False) for t in one.tests)]:
            needed = _requirement(text)
            if needed is None:
                if must:
                    refused.append(text)
                continue
            key, written, url = needed
            if key in (_key(name), "pytest") or not (must or _is_imported(key, imported)):
                continue
            if url:
                refused.append(text)
            elif written:
                chosen.setdefault(key, []).append(written)
        for key, texts in chosen.items():
            kept.setdefault(key, texts)  # of the first file that names it
    if "pkg_resources" in imported:
        kept.setdefault("setuptools", [_SETUPTOOLS])
    return Declared(
        name=name,
        python=next((one.python for one in found if one.python), ""),
        requirements=tuple(sorted({text for texts in kept.values() for text in texts})),
        refused=tuple(dict.fromkeys(refused)),
        version_files=tuple(file for one in found for file in one.version_files),
    )


def takes_python(specifier: str) -> bool:
    """Whether a project that declares these versions of Python supports the running one."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # pytest brings it

    try:
        return SpecifierSet(specifier).contains(".".join(map(str, sys.version_info[:3])))
    except InvalidSpecifier:
        return True


def looks_up_versions(tree: Path) -> bool:
    """Whether code of a project looks up the versions of installed packages, such as its own."""
    return any(_LOOKS_UP.search(_text(path)) for path in tree.rglob("*.py"))


def _requirement(text: str) -> tuple[str, str, bool] | None:
    """The key and the text of a requirement, "" where it is for other machines; whether it is at a
    URL. None for what is no requirement."""
    from packaging.requirements import InvalidRequirement, Requirement  # pytest brings it

    if len(text) > _MAX_TEXT:
        return None
    try:
        needed = Requirement(text)
    except (InvalidRequirement, RecursionError):
        return None
    try:
        here = needed.marker is None or needed.marker.evaluate({"extra": ""})
    except Exception:  # noqa: BLE001  # markers of other tools, which packaging cannot evaluate
        here = False
    extras = f"[{','.join(sorted(needed.extras))}]" if needed.extras else ""
    written = f"{needed.name.lower()}{extras}{needed.specifier}" if here else ""
    return _key(needed.name), written, here and needed.url is not None


def _is_imported(key: str, imported: set[str]) -> bool:
    def plain(name: str) -> str:
        return re.sub(r"^(?:python|py)|python$|[-_.]", "", name.lower()) or name

    names = {_key(_OTHER_NAMES.get(module, module)) for module in imported}
    return key in names or plain(key) in {plain(module) for module in imported}


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# -- one function for each kind of file ----------------------------------------------------


def _of_pyproject(data: Mapping[str, Any]) -> _Found:
    tool = _table(data, "tool")
    parts = [_of_project(data), _of_poetry(_table(tool, "poetry"))]
    flit, hatch = _table(tool, "flit", "metadata"), _table(tool, "hatch")
    pdm, uv = _table(tool, "pdm", "dev-dependencies"), _table(tool, "uv")
    parts.append(
        _Found(
            name=_string(flit.get("dist-name") or flit.get("module")),
            python=_string(flit.get("requires-python")),
            needs=_strings(flit.get("requires")),
            tests=(
                *_of_groups(_table(flit, "requires-extra")),
                *_of_groups(pdm),
                *_strings(uv.get("dev-dependencies")),
                *(
                    text
                    for env in _table(hatch, "envs").values()
                    if isinstance(env, dict)
                    for key in ("dependencies", "extra-dependencies")
                    for text in _strings(env.get(key))
                ),
            ),
            version_files=_strings(
                [
                    _table(hatch, "build", "hooks", "vcs").get("version-file"),
                    _table(tool, "setuptools_scm").get("version_file"),
                    _table(tool, "setuptools_scm").get("write_to"),
                    _table(tool, "pdm", "version").get("write_to"),
                ]
            ),
        )
    )
    return _Found(
        name=next((part.name for part in parts if part.name), ""),
        python=next((part.python for part in parts if part.python), ""),
        needs=tuple(text for part in parts for text in part.needs),
        tests=tuple(text for part in parts for text in part.tests),
        version_files=parts[-1].version_files,
    )


def _of_project(data: Mapping[str, Any]) -> _Found:
    """PEP 621 and PEP 735."""
    project, groups = _table(data, "project"), _table(data, "dependency-groups")

    def members(name: str, seen: set[str]) -> Iterator[str]:
        items = groups.get(name)
        for item in items if isinstance(items, list) else ():
            if isinstance(item, str):
                yield item
            elif isinstance(item, dict):
                included = str(item.get("include-group"))
                if included not in seen and len(seen) < _MAX_INCLUDED:
                    seen.add(included)
                    yield from members(included, seen)

    return _Found(
        name=_string(project.get("name")),
        python=_string(project.get("requires-python")),
        needs=_strings(project.get("dependencies")),
        tests=(
            *_of_groups(_table(project, "optional-dependencies")),
            *(text for group in groups if _TESTS.search(group) for text in members(group, {group})),
        ),
    )


def _of_poetry(poetry: Mapping[str, Any]) -> _Found:
    main = dict(_table(poetry, "dependencies"))
    python = main.pop("python", "")
    developing = [_table(poetry, "dev-dependencies")]
    developing += [_table(group, "dependencies") for group in _tables(_table(poetry, "group"))]
    return _Found(
        name=_string(poetry.get("name")),
        python=_poetry_versions(_string(python)),
        needs=tuple(
            text for key, value in main.items() for text in _poetry(key, value, optional=False)
        ),
        tests=tuple(
            text
            for group in (main, *developing)
            for key, value in group.items()
            for text in _poetry(key, value, optional=True)
        ),
    )


def _poetry(name: str, value: Any, *, optional: bool) -> Iterator[str]:
    """Poetry's requirement in PEP 508. optional: also those that are optional."""
    if isinstance(value, list):
        for item in value:
            yield from _poetry(name, item, optional=optional)
    elif isinstance(value, str):
        yield f"{name}{_poetry_versions(value)}"
    elif isinstance(value, dict) and (optional or not value.get("optional")):
        extras = ",".join(_strings(value.get("extras")))
        place = next((value[key] for key in ("git", "url", "path", "file") if key in value), None)
        what = f" @ {place}" if place else _poetry_versions(_string(value.get("version")))
        marks = [f"({text})" for text in _strings([value.get("markers")])]
        for one in _poetry_versions(_string(value.get("python"))).split(","):
            if match := re.fullmatch(r"(\W+)([\d.]+)", one):
                marks.append(f'python_version {match[1]} "{match[2]}"')
        end = f" ; {' and '.join(marks)}" if marks else ""
        yield f"{name}{f'[{extras}]' if extras else ''}{what}{end}"


def _poetry_versions(text: str) -> str:
    """Poetry's versions ("^1.2", "~1.2", "1.2.*", "1.2") as a specifier; "" for alternatives."""
    if "|" in text or len(text) > _MAX_TEXT:
        return ""
    return ",".join(filter(None, map(_poetry_version, re.split(r"[,\s]+(?=[\^~<>=!\d*])", text))))


def _poetry_version(part: str) -> str:
    part = re.sub(r"\s+", "", part)
    if part in ("", "*"):
        return ""
    if part[0] == "~" and part[:2] != "~=":
        numbers = _numbers(part[1:])
        return f">={part[1:]},<{_raised(numbers, min(1, len(numbers) - 1))}"
    if part[0] == "^":
        numbers = _numbers(part[1:])
        first = next((at for at, number in enumerate(numbers) if number), len(numbers) - 1)
        return f">={part[1:]},<{_raised(numbers, first)}"
    return part if part[0] in "<>=!~" else f"=={part}"


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:4]] or [0]


def _raised(numbers: list[int], at: int) -> str:
    return ".".join(map(str, [*numbers[:at], numbers[at] + 1]))


def _of_setup_cfg(data: configparser.ConfigParser) -> _Found:
    def value(section: str, key: str) -> str:
        return data.get(section, key, raw=True, fallback="")

    extras = "options.extras_require"
    groups = data.options(extras) if data.has_section(extras) else []
    return _Found(
        name=value("metadata", "name"),
        python=value("options", "python_requires"),
        needs=tuple(_listed(value("options", "install_requires"))),
        tests=(
            *_listed(value("options", "tests_require")),
            *(t for group in groups if _TESTS.search(group) for t in _listed(value(extras, group))),
        ),
    )


def _of_setup_py(text: str) -> _Found:
    """The arguments of setup() that are literals, or names that are assigned literals."""
    try:
        return _of_setup_call(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _Found()


def _of_setup_call(tree: ast.Module) -> _Found:
    known: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            known[node.targets[0].id] = _value(node.value, known)
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == "setup":
            given = {word.arg: _value(word.value, known) for word in call.keywords if word.arg}
            extras = given.get("extras_require")
            scm = given.get("use_scm_version")
            return _Found(
                name=_string(given.get("name")),
                python=_string(given.get("python_requires")),
                needs=_strings(given.get("install_requires")),
                tests=(
                    *_strings(given.get("tests_require")),
                    *_of_groups(extras if isinstance(extras, dict) else {}),
                ),
                version_files=_strings(
                    [scm.get(key) for key in ("write_to", "version_file")]
                    if isinstance(scm, dict)
                    else ()
                ),
            )
    return _Found()


def _value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """The value of an expression of literals and known names; None for anything else."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item, known) for item in node.elts]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {_string(_value(k, known)): _value(v, known) for k, v in pairs if k is not None}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _value(node.left, known), _value(node.right, known)
        if isinstance(left, list) and isinstance(right, list):
            return (left + right)[:_MAX_ITEMS]
        return left
    return node.value if isinstance(node, ast.Constant) else None


def _of_tox(data: configparser.ConfigParser, tree: Path) -> _Found:
    """The dependencies of the environments, which only a developer needs."""
    texts: list[str] = []
    for section in data.sections():
        if section.startswith("testenv"):
            for line in data.get(section, "deps", raw=True, fallback="").splitlines():
                plain = re.sub(r"^[\w{},.!-]+:\s+", "", line.strip())  # "py39: name"
                texts += _expanded(tree, tree, plain.replace("{toxinidir}/", ""), set())
    return _Found(tests=tuple(texts))


def _requirement_files(tree: Path) -> list[Path]:
    return sorted({path for pattern in _REQUIREMENT_FILES for path in tree.glob(pattern)})


def _lines(tree: Path, path: Path, seen: set[Path] | None = None) -> Iterator[str]:
    """The requirements in a file, and in those that it includes. seen: what was read already."""
    seen = {path.resolve()} if seen is None else seen
    for line in re.sub(r"\\\n", "", _text(path)).splitlines():
        plain = re.sub(r"(?:^|\s)(?:#|--hash).*", "", line).strip()
        yield from _expanded(tree, path.parent, plain, seen)


def _expanded(tree: Path, folder: Path, line: str, seen: set[Path]) -> Iterator[str]:
    if match := re.match(r"(?:-r|--requirement)[\s=]*(\S+)", line):
        path = (folder / match[1]).resolve()
        inside = path.is_relative_to(tree.resolve())
        if inside and path not in seen and len(seen) < _MAX_INCLUDED:
            seen.add(path)
            yield from _lines(tree, path, seen)
    elif line and not line.startswith(("-", ".", "/", "{")):
        yield line


# -- reading ---------------------------------------------------------------------------------


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _toml(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _ini(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(_text(path))
    except configparser.Error:
        return configparser.ConfigParser()
    return parser


def _table(data: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    for key in keys:
        found = data.get(key)
        data = found if isinstance(found, dict) else {}
    return data


def _tables(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [item for item in data.values() if isinstance(item, dict)]


def _of_groups(groups: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        text for name, items in groups.items() if _TESTS.search(name) for text in _strings(items)
    )


def _listed(text: str) -> Iterator[str]:
    return (line.strip() for line in text.splitlines() if line.strip())


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _strings(values: Any) -> tuple[str, ...]:
    return tuple(v for v in values if isinstance(v, str)) if isinstance(values, list) else ()

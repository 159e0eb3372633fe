"""Tables of the training methods that ship, and of the formulas with the papers they are from."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from srl_agents.methods.shipped import get_method, methods
from srl_agents.methods.stages import Method, Stage

ROOT = Path(__file__).parents[1]
FOLDERS = ("srl_env", "agents/srl_agents")
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{5})")
_URL = re.compile(r"(?<![(\[])(https?://[^\s,;)]+[^\s,;.)])")
_SOURCE = re.compile(r"^(?:Source[\w ]*):\s+(.+?)(?=\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)


def methods_table() -> str:
    """A row for each registered method: what it needs, its stages, and where it is from."""
    rows = [_row(get_method(name)) for name in methods()]
    return "\n".join(["| method | needs | stages | from |", "|---|---|---|---|", *rows])


def formulas() -> str:
    """A row for each docstring that names its source, by file."""
    rows = [f"| `{name}` | `{place}` | {linked(source)} |" for place, name, source in _sources()]
    return "\n".join(["| what | where | source |", "|---|---|---|", *rows])


def linked(text: str) -> str:
    """The text with papers and addresses as links."""
    return _ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", _URL.sub(r"<\1>", text))


def _row(method: Method) -> str:
    stages = "<br>".join(_stage(stage) for stage in method.stages)
    needs = ", ".join(sorted(method.needs))
    return f"| `{method.name}` | {needs} | {stages} | {linked(method.source)} |"


def _stage(stage: Stage) -> str:
    where = {"problem": "at the problem", "prefix": "after every expert prefix"}[stage.starts.at]
    where = str(stage.starts.prefix or where)
    where += "" if stage.starts.profile is None else " that a profile keeps"
    where += "" if stage.starts.subset is None else " of problems that differ"
    fraction = "" if stage.fraction is None else f"; up to {stage.fraction:.0%} of the budget"
    second = "" if stage.auxiliary is None else f"; {stage.auxiliary}"
    return f"**{stage.name}**: {stage.objective}, starts {where}{second}{fraction}"


def _sources() -> Iterator[tuple[str, str, str]]:
    """(file, name, the sentence with the source) of each documented thing that has one."""
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            place = file.relative_to(ROOT).as_posix()
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    found = _SOURCE.search(ast.get_docstring(node) or "")
                    if found and not node.name.startswith("_"):
                        yield place, node.name, " ".join(found[1].split())

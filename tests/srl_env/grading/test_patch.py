"""Which changes of a workspace count."""

from __future__ import annotations

import pytest

from srl_env.grading import filter_changes
from srl_env.grading.patch import MAX_FILES
from srl_env.sandbox import Change, Snapshot


def one(path: str, **changed: object) -> Snapshot:
    fields: dict[str, object] = {
        "change": "added",
        "kind": "file",
        "mode": 0o644,
        "size": 1,
        "links": 1,
    }
    return Snapshot((Change(path=path, **{**fields, **changed}),), (b"x",))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path",
    ["pkg/mod.py", "README.md", "pkg/latest.py", "pkg/json.py", "data/a b.txt", "contest.py"],
)
def test_ordinary_files_are_kept(path: str) -> None:
    patch = filter_changes(one(path))
    assert [change.path for change in patch.kept.changes] == [path]
    assert patch.dropped == ()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("tests/helper.py", "test"),
        ("pkg/Tests/x.py", "test"),
        ("pkg/test_mod.py", "test"),
        ("mod_test.py", "test"),
        ("deep/down/conftest.py", "test"),
        ("CONFTEST.PY", "test"),
        ("pyproject.toml", "settings"),
        ("pkg/tox.ini", "settings"),
        ("setup.py", "settings"),
        ("a.pth", "loaded by the interpreter"),
        ("pkg/mod.cpython-311.so", "loaded by the interpreter"),
        ("pkg/__pycache__/x", "cache or version control"),
        (".git/config", "cache or version control"),
        ("x.egg-info/entry_points.txt", "package metadata"),
        ("random.py", "replaces the module random"),
        ("_pytest/runner.py", "replaces the module _pytest"),
        ("sitecustomize.py", "replaces the module sitecustomize"),
        ("../outside", "path"),
        ("/etc/passwd", "path"),
        ("x" * 1001, "path"),
        ("new\nline.py", "name"),
        ("\udcff.py", "name"),
    ],
)
def test_what_could_steer_the_tests_is_dropped_and_logged(path: str, reason: str) -> None:
    patch = filter_changes(one(path))
    assert patch.kept.changes == ()
    assert [(item.path, item.reason) for item in patch.dropped] == [(path, reason)]


def test_links_and_special_files_are_dropped() -> None:
    assert filter_changes(one("a", kind="symlink")).dropped[0].reason == "symlink"
    assert filter_changes(one("a", links=2)).dropped[0].reason == "hard link"
    assert filter_changes(Snapshot((), (), ("pipe",))).dropped[0].reason == "special file"


def test_a_task_may_allow_more() -> None:
    patch = filter_changes(one("pyproject.toml"), allowed=("pyproject.toml",))
    assert len(patch.kept.changes) == 1
    assert filter_changes(one("../x"), allowed=("*",)).kept.changes == ()


def test_a_source_folder_is_where_shadows_would_lie() -> None:
    assert filter_changes(one("src/json.py"), python_path=("src",)).dropped
    assert not filter_changes(one("json.py"), python_path=("src",)).dropped


@pytest.mark.parametrize("kind", ["file", "symlink"])
@pytest.mark.parametrize(("path", "root"), [("src", "src"), ("a", "a/b"), ("a/b", "./a/b/")])
def test_nothing_takes_the_place_of_a_folder_of_packages(path: str, root: str, kind: str) -> None:
    patch = filter_changes(one(path, kind=kind), python_path=(".", root))
    assert patch.kept.changes == ()
    assert [item.path for item in patch.dropped] == [path]


def test_modes_are_reduced_to_whether_a_file_can_be_run() -> None:
    assert filter_changes(one("run", mode=0o4777)).kept.changes[0].mode == 0o755
    assert filter_changes(one("run", mode=0o4)).kept.changes[0].mode == 0o644


def test_a_change_beyond_the_bounds_keeps_nothing() -> None:
    change = one("a").changes[0]
    many = Snapshot((change,) * (MAX_FILES + 1), (b"x",) * (MAX_FILES + 1))
    patch = filter_changes(many)
    assert patch.too_large
    assert patch.kept.changes == ()
    deep = [one(f"{number}{'/d' * 40}/f").changes[0] for number in range(50)]
    assert filter_changes(Snapshot(tuple(deep), (b"x",) * 50)).too_large  # 50 × 41 folders
    assert not filter_changes(Snapshot(tuple(deep[:40]), (b"x",) * 40)).too_large


def test_a_test_file_is_dropped_whatever_its_name() -> None:
    patch = filter_changes(one("checks.py"), allowed=("*",), tests=("checks.py",))
    assert patch.dropped[0].reason == "test"
    assert not filter_changes(one("checks.py")).dropped

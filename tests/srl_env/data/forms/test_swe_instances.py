from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from srl_env.data import (
    BadRow,
    DatasetSource,
    DropReport,
    JsonlSource,
    read_instances,
    reverse_patch,
    swe_instance,
    swe_problem,
)
from srl_env.errors import BadData

PATCH = """\
diff --git a/shop/prices.py b/shop/prices.py
index 1111111..2222222 100644
--- a/shop/prices.py
+++ b/shop/prices.py
@@ -1,4 +1,5 @@ def total(prices):
 def total(prices):
-    return max(prices)
-    # -- no
+    # ++ yes
+    --prices
+    return sum(prices)
 # end
"""
REVERSED = """\
diff --git a/shop/prices.py b/shop/prices.py
index 2222222..1111111 100644
--- a/shop/prices.py
+++ b/shop/prices.py
@@ -1,5 +1,4 @@ def total(prices):
 def total(prices):
-    # ++ yes
-    --prices
-    return sum(prices)
+    return max(prices)
+    # -- no
 # end
"""
BENCH: dict[str, Any] = {
    "repo": "shop/shop",
    "instance_id": "shop__shop-1",
    "base_commit": "abc123",
    "patch": PATCH,
    "test_patch": "diff --git a/t.py b/t.py",
    "problem_statement": "total is wrong",
    "hints_text": "",
    "created_at": "2024-01-01T00:00:00Z",
    "version": "1.2",
    "FAIL_TO_PASS": '["t.py::test_total"]',
    "PASS_TO_PASS": ["t.py::test_other"],
    "environment_setup_commit": "def456",
}
SMITH: dict[str, Any] = {
    "instance_id": "shop__shop.abc12345.lm_rewrite__x",
    "repo": "swesmith/shop__shop.abc12345",
    "patch": PATCH,
    "FAIL_TO_PASS": ["t.py::test_total"],
    "PASS_TO_PASS": [],
    "image_name": "swesmith.x86_64.shop",
    "problem_statement": "total is wrong",
}


# -- rows --


def test_a_row_of_swe_bench_mends_by_its_patch() -> None:
    instance = swe_instance(BENCH)
    assert (instance.gold_patch, instance.bug_patch) == (PATCH, REVERSED)
    assert (instance.fail_to_pass, instance.pass_to_pass) == (
        ("t.py::test_total",),
        ("t.py::test_other",),
    )
    assert (instance.base_commit, instance.version, instance.hints_text) == ("abc123", "1.2", "")


@pytest.mark.parametrize(
    ("fail", "passing", "expected"),
    [
        ("['t.py::a', \"b[it's]\"]", "['t.py::c']", (("t.py::a", "b[it's]"), ("t.py::c",))),
        ('["t.py::a"]', None, (("t.py::a",), ())),
        (["t.py::a"], "", (("t.py::a",), ())),
    ],
)  # fmt: skip
@pytest.mark.parametrize("capitals", [True, False])
def test_lists_of_tests_are_read_as_people_write_them(
    fail: Any, passing: Any, expected: Any, capitals: bool
) -> None:
    names = [n if capitals else n.lower() for n in ("FAIL_TO_PASS", "PASS_TO_PASS")]
    others = {key: value for key, value in BENCH.items() if not key.endswith("_TO_PASS")}
    instance = swe_instance({**others, names[0]: fail, names[1]: passing})
    assert (instance.fail_to_pass, instance.pass_to_pass) == expected


def test_a_missing_list_of_tests_names_the_columns_that_there_are() -> None:
    others = {key: value for key, value in BENCH.items() if key != "FAIL_TO_PASS"}
    with pytest.raises(
        BadRow, match='no "FAIL_TO_PASS"; a row needs one; it has repo, instance_id'
    ):
        swe_instance(others)


def test_a_row_of_swe_smith_mends_by_taking_its_patch_back() -> None:
    instance = swe_instance(SMITH)
    assert (instance.gold_patch, instance.bug_patch) == (REVERSED, PATCH)
    assert (instance.base_commit, instance.test_patch, instance.created_at) == ("", "", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch": None}, '"patch" is no text; got NoneType'),
        ({"patch": "return sum"}, "\"patch\" is no diff; expected lines like '--- a/file'"),
        ({"base_commit": None}, 'no "base_commit"; a row of SWE-bench has one; one of SWE-smith'),
        ({"FAIL_TO_PASS": "t.py::a"}, '"FAIL_TO_PASS" is not a list of test ids; expected a list'),
        ({"FAIL_TO_PASS": "__import__('os')"}, '"FAIL_TO_PASS" is not a list of test ids'),
        ({"FAIL_TO_PASS": None}, '"FAIL_TO_PASS" is not a list of test ids'),
        ({"PASS_TO_PASS": [1]}, '"PASS_TO_PASS" is not a list of test ids'),
        ({"PASS_TO_PASS": "[" * 100_000}, '"PASS_TO_PASS" is not a list of test ids'),
        ({"version": ["1"]}, '"version" is no text; got list'),
        ({"instance_id": ""}, '"instance_id" is empty'),
    ],
)
def test_a_row_that_is_no_instance_is_told_why(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRow) as raised:
        swe_instance(BENCH | change)
    assert str(raised.value).startswith(message)


# -- patches --


def test_reversing_a_patch_twice_gives_it_back() -> None:
    assert reverse_patch(PATCH) == REVERSED
    assert reverse_patch(REVERSED) == PATCH


def test_headers_of_new_moved_and_changed_files_are_turned_round() -> None:
    patch = (
        "diff --git a/old name.py b/new name.py\nold mode 100644\nnew mode 100755\n"
        "similarity index 90%\nrename from old name.py\nrename to new name.py\n"
        "diff --git a/n.py b/n.py\nnew file mode 100644\nindex 0000000..1234567\n"
        "--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n"
    )
    assert reverse_patch(patch) == (
        "diff --git a/new name.py b/old name.py\nold mode 100755\nnew mode 100644\n"
        "similarity index 90%\nrename from new name.py\nrename to old name.py\n"
        "diff --git a/n.py b/n.py\ndeleted file mode 100644\nindex 1234567..0000000\n"
        "--- a/n.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n\\ No newline at end of file\n"
    )


@pytest.mark.skipif(shutil.which("git") is None, reason="git makes and applies the patches")
def test_git_takes_its_own_patch_back_by_the_reversed_one(tmp_path: Path) -> None:
    def git(*words: str, given: str | None = None) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        done = subprocess.run(command, cwd=tmp_path, input=given, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    before = {"a.py": "".join(f"line {i}\n" for i in range(40)), "gone.py": "x\n", "e.py": "1"}
    after = {"a.py": before["a.py"].replace("line 3\n", "-- 3\n++ 3\n") + "end", "e.py": "1\n"}
    git("init", "-q")
    for name, text in before.items():
        (tmp_path / name).write_text(text)
    git("add", "-A")
    git("commit", "-qm", "before")
    (tmp_path / "gone.py").unlink()
    for name, text in {**after, "new.py": "n\n"}.items():
        (tmp_path / name).write_text(text)
    git("add", "-A")
    git("apply", "--index", "-", given=reverse_patch(git("diff", "--cached")))
    assert git("status", "--porcelain") == ""


def test_what_cannot_be_reversed_is_an_error() -> None:
    with pytest.raises(BadData, match="with 'GIT' cannot be reversed"):
        reverse_patch("diff --git a/x b/x\nGIT binary patch\nliteral 3\n")
    with pytest.raises(BadData, match="cut off in its hunk"):
        reverse_patch(PATCH[:200])


# -- files --


def test_files_of_lines_and_of_a_list_are_read_alike(tmp_path: Path) -> None:
    lines, listed = tmp_path / "rows.jsonl", tmp_path / "rows.json"
    lines.write_text(f"\ufeff{json.dumps(BENCH)}\n\n{json.dumps(SMITH)}\n", encoding="utf-8")
    listed.write_text(json.dumps([BENCH, SMITH], indent=1))
    expected = [swe_instance(BENCH), swe_instance(SMITH)]
    assert list(read_instances(lines)) == list(read_instances(listed)) == expected


def test_rows_that_cannot_be_read_are_reported_by_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [json.dumps(BENCH), "{", json.dumps(BENCH | {"patch": "x"}), json.dumps(BENCH), "[1]"]
    path.write_text("\n".join([*rows, json.dumps(SMITH)]))
    report = DropReport(path.name)
    assert [i.instance_id for i in read_instances(path, report)] == [
        "shop__shop-1",
        "shop__shop.abc12345.lm_rewrite__x",
    ]
    assert (report.kept, report.total_dropped) == (2, 4)
    assert report.examples["no JSON"][0].startswith(f"{path}:2: no JSON; Expecting property name")
    assert report.examples['"patch" is no diff'][0].startswith(f'{path}:3: "patch" is no diff')
    assert f"{path}:1" in report.examples["the id of an earlier row"][0]
    assert report.examples["no JSON object"][0].startswith(f"{path}:5: ")
    with pytest.raises(BadData, match=r"rows.jsonl:2: no JSON"):
        list(read_instances(path))


def test_a_list_names_the_line_that_a_row_begins_at(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([BENCH, SMITH | {"patch": "x"}], indent=1))
    line = 1 + len(json.dumps([BENCH], indent=1).splitlines()) - 1
    with pytest.raises(BadData, match=rf"rows.json:{line}: \"patch\" is no diff"):
        list(read_instances(path))
    path.write_text(json.dumps([BENCH])[:-1])
    with pytest.raises(BadData, match="rows.json:1: the list is not closed"):
        list(read_instances(path))
    path.write_text("[\n {,")
    with pytest.raises(BadData, match="rows.json:2: no JSON; Expecting property"):
        list(read_instances(path))
    path.write_text("[]")
    assert list(read_instances(path)) == []


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    for name in ("x.jsonl", "x.parquet"):
        with pytest.raises(BadData, match=f"{name}: No such file"):
            list(read_instances(tmp_path / name))


def test_a_parquet_file_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list([BENCH]).to_parquet(str(tmp_path / "rows.parquet"))
    assert list(read_instances(tmp_path / "rows.parquet")) == [swe_instance(BENCH)]
    source = DatasetSource(datasets.Dataset.from_list([BENCH]), swe_problem)
    assert source[0] == swe_problem(BENCH)


# -- problems --


def test_instances_are_problems_whose_prompt_is_the_issue(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [BENCH, SMITH, SMITH | {"instance_id": "b", "problem_statement": ""}]
    path.write_text("\n".join(map(json.dumps, rows)))
    source = JsonlSource(path, swe_problem, on_bad_row="drop")
    assert [problem.id for problem in source] == [BENCH["instance_id"], SMITH["instance_id"]]
    assert source[1].prompt == "total is wrong"
    assert source[1].metadata["gold_patch"] == REVERSED
    assert source[0].metadata["gold_patch"] == PATCH
    assert source.report is not None
    assert list(source.report.dropped) == ['"problem_statement" is empty']

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from srl_env.data import BadRow, JsonlSource, reverse_patch, swe_problem
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


def test_a_row_of_swe_bench_is_fixed_by_its_patch() -> None:
    problem = swe_problem(BENCH)
    assert (problem.id, problem.prompt) == ("shop__shop-1", "total is wrong")
    assert problem.metadata == {
        "repo": "shop/shop",
        "base_commit": "abc123",
        "version": "1.2",
        "gold_patch": PATCH,
        "bug_patch": "",
        "test_patch": "diff --git a/t.py b/t.py",
        "hints_text": "",
        "created_at": "2024-01-01T00:00:00Z",
        "image_name": "",
        "fail_to_pass": ["t.py::test_total"],
        "pass_to_pass": ["t.py::test_other"],
    }


@pytest.mark.parametrize(
    ("fail", "passing", "expected"),
    [
        ("['t.py::a', \"b[it's]\"]", "['t.py::c']", (["t.py::a", "b[it's]"], ["t.py::c"])),
        ('["t.py::a"]', None, (["t.py::a"], [])),
        (["t.py::a"], "", (["t.py::a"], [])),
    ],
)  # fmt: skip
@pytest.mark.parametrize("capitals", [True, False])
def test_lists_of_tests_are_read_as_people_write_them(
    fail: Any, passing: Any, expected: Any, capitals: bool
) -> None:
    names = [n if capitals else n.lower() for n in ("FAIL_TO_PASS", "PASS_TO_PASS")]
    others = {key: value for key, value in BENCH.items() if not key.endswith("_TO_PASS")}
    found = swe_problem({**others, names[0]: fail, names[1]: passing}).metadata
    assert (found["fail_to_pass"], found["pass_to_pass"]) == expected


def test_a_missing_list_of_tests_names_the_columns_that_there_are() -> None:
    others = {key: value for key, value in BENCH.items() if key != "FAIL_TO_PASS"}
    with pytest.raises(
        BadRow, match='no "FAIL_TO_PASS"; a row needs one; it has repo, instance_id'
    ):
        swe_problem(others)


def test_a_row_of_swe_smith_is_fixed_by_the_reverse_of_its_patch() -> None:
    found = swe_problem(SMITH).metadata
    assert (found["gold_patch"], found["bug_patch"]) == (REVERSED, PATCH)
    assert (found["base_commit"], found["test_patch"], found["created_at"]) == ("", "", "")


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
def test_a_row_that_is_not_an_instance_is_bad_for_a_reason(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadRow) as raised:
        swe_problem(BENCH | change)
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
    with pytest.raises(BadData, match="must be complete; it ends in its hunk"):
        reverse_patch(PATCH[:200])


def test_rows_without_an_issue_are_bad(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [BENCH, SMITH, SMITH | {"instance_id": "b", "problem_statement": ""}]
    path.write_text("\n".join(map(json.dumps, rows)))
    source = JsonlSource(path, swe_problem, on_bad_row="drop")
    assert [problem.id for problem in source] == [BENCH["instance_id"], SMITH["instance_id"]]
    assert source.report is not None
    assert list(source.report.dropped) == ['"problem_statement" is empty']

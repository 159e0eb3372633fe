"""Verdicts on honest changes: right, wrong, empty, broken."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest

from srl_env.errors import BadOption, SandboxDied, SandboxFailure
from srl_env.grading import GradingTask, OracleCase, Trust, grade, validate_controls
from srl_env.sandbox import NamespaceSandbox, Sandbox, Session, Snapshot
from tests.srl_env.grading.conftest import FAULTY, FILE, GOLD, TESTS, patch

LEVELS: tuple[Trust, ...] = ("inprocess", "controlled", "oracle")
EMPTY = Snapshot((), ())


@pytest.mark.parametrize("trust", LEVELS)
def test_the_right_change_resolves_and_the_empty_one_does_not(
    sandbox: Sandbox, task: GradingTask, trust: Trust
) -> None:
    task = replace(task, trust=trust, controls=2)
    gold = grade(sandbox, task, patch({"shop/prices.py": GOLD}))
    assert gold.resolved, gold
    assert gold.clean
    assert (gold.trust, gold.backend) == (trust, "namespaces")
    assert all(gold.fail_to_pass.values())
    empty = grade(sandbox, task, EMPTY)
    assert not empty.resolved
    if trust == "oracle":
        assert empty.cases == {
            "half off": False,
            "a quarter off": False,
            "cents": True,
            "words": True,
        }
    else:
        assert empty.fail_to_pass == {f"{FILE}::test_a_discount_is_taken_off": False}
        assert all(empty.pass_to_pass.values())
        assert empty.clean


def test_grading_needs_nothing_preloaded(task: GradingTask, sandbox: Sandbox) -> None:
    cold = NamespaceSandbox()
    assert grade(cold, task, patch({"shop/prices.py": GOLD})).resolved
    assert not grade(cold, replace(task, trust="inprocess"), EMPTY).resolved
    cold.close()


def test_a_change_that_breaks_something_else_does_not_resolve(
    sandbox: Sandbox, task: GradingTask
) -> None:
    broken = GOLD.replace("* 100", "* 10")
    result = grade(sandbox, replace(task, trust="inprocess"), patch({"shop/prices.py": broken}))
    assert all(result.fail_to_pass.values())
    assert result.pass_to_pass[f"{FILE}::test_cents_are_read"] is False
    assert not result.resolved


@pytest.mark.parametrize(
    "source", ["def total(:", "raise RuntimeError", "while True: pass", "import os; os.abort()"]
)
@pytest.mark.parametrize("trust", LEVELS)
def test_code_that_does_not_run_fails_every_test(
    sandbox: Sandbox, task: GradingTask, source: str, trust: Trust
) -> None:
    task = replace(task, trust=trust, timeout_s=3)
    result = grade(sandbox, task, patch({"shop/prices.py": source}))
    assert not result.resolved
    assert not any(result.fail_to_pass.values())


def test_a_new_module_and_a_deleted_one_count(sandbox: Sandbox, task: GradingTask) -> None:
    change = {"shop/prices.py": "from shop.moved import parse, total", "shop/moved.py": GOLD}
    (task.tree / "shop" / "old.py").write_text("")
    with sandbox.start(task.tree) as session:
        session.run("rm shop/old.py")
        deleted = session.snapshot()
    both = patch(change)
    both = Snapshot(both.changes + deleted.changes, both.contents + deleted.contents)
    gone = OracleCase("gone", "import os", "os.path.exists('shop/old.py')", False)
    assert grade(sandbox, replace(task, cases=(*task.cases, gone)), both).resolved


def test_a_dead_sandbox_is_a_failure_and_no_verdict(task: GradingTask, sandbox: Sandbox) -> None:
    class Dying(NamespaceSandbox):
        def start(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
            session = super().start(*arguments, **options)  # type: ignore[arg-type]
            session.close()
            return session

    with pytest.raises(SandboxFailure, match="closed"):
        grade(Dying(), task, EMPTY)


def test_the_grade_is_json(sandbox: Sandbox, task: GradingTask) -> None:
    result = grade(sandbox, task, patch({"conftest.py": "", "shop/prices.py": FAULTY}))
    info = json.loads(json.dumps(result.to_info()))
    assert info["resolved"] is False
    assert info["dropped"] == [{"path": "conftest.py", "reason": "test"}]


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ({"a": (1, [2.0, None]), "b": {3}}, "{'b': {3}, 'a': (1, [2.0, None])}"),
        (b"\0\xff", "bytes([0, 255])"),
        (float("nan"), "float('nan')"),
        ("\udcff\0", "chr(0xdcff) + chr(0)"),
        (10**4000, "10**4000"),
        (1j, "1j"),
    ],
)
def test_values_of_any_built_in_type_come_back_exactly(
    sandbox: Sandbox, task: GradingTask, expected: object, text: str
) -> None:
    task = replace(
        task, cases=(OracleCase("one", "", text, expected),), fail_to_pass=(), pass_to_pass=()
    )
    assert grade(sandbox, task, EMPTY).resolved


@pytest.mark.parametrize("text", ["15", "True", "-0.0", "[0.0]", "1/0", "object()", "{}"])
def test_what_is_only_nearly_equal_does_not_count(
    sandbox: Sandbox, task: GradingTask, text: str
) -> None:
    cases = (OracleCase("one", "", text, 0.0), OracleCase("true", "", "1", True))
    result = grade(sandbox, replace(task, cases=cases, fail_to_pass=(), pass_to_pass=()), EMPTY)
    assert result.cases == {"one": False, "true": False}


def test_the_trees_own_conftest_is_used_where_the_task_says_so(
    sandbox: Sandbox, task: GradingTask
) -> None:
    (task.tree / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef rate():\n    return 0.5\n"
    )
    test = "from shop.prices import total\ndef test_rate(rate):\n    assert total([4], rate) == 2\n"
    task = replace(
        task, trust="inprocess", hidden={"tests/test_r.py": test.encode()},
        fail_to_pass=("tests/test_r.py::test_rate",), pass_to_pass=(), conftest=True,
    )  # fmt: skip
    assert grade(sandbox, task, patch({"shop/prices.py": GOLD})).resolved
    assert not grade(
        sandbox, replace(task, conftest=False), patch({"shop/prices.py": GOLD})
    ).resolved
    forged = "import pytest\n@pytest.fixture\ndef rate():\n    return 0.0\n"
    assert not grade(sandbox, task, patch({"conftest.py": forged})).resolved


def test_controls_are_validated_against_the_right_change(
    sandbox: Sandbox, task: GradingTask
) -> None:
    task = replace(task, trust="controlled", controls=2)
    gold = patch({"shop/prices.py": GOLD})
    assert validate_controls(sandbox, task, gold, rounds=1) == ()
    idle = TESTS + "\n\ndef test_it_is_called():\n    total([])\n"
    name = f"{FILE}::test_it_is_called"
    task = replace(task, hidden={FILE: idle.encode()}, pass_to_pass=(*task.pass_to_pass, name))
    expected = (f"{name} expects nothing that could be changed",)
    assert validate_controls(sandbox, task, gold, rounds=1) == expected


def test_a_task_that_cannot_be_graded_is_refused() -> None:
    with pytest.raises(BadOption, match="cases must not be empty with trust='oracle'"):
        GradingTask(Path())
    with pytest.raises(BadOption, match="fail_to_pass must not be empty with trust='inprocess'"):
        GradingTask(Path(), trust="inprocess")
    with pytest.raises(BadOption, match="controls must be at least 2; got 1"):
        GradingTask(Path(), trust="controlled", fail_to_pass=("t.py::t",), controls=1)
    with pytest.raises(BadOption, match="no exact built-in type"):
        OracleCase("x", "", "", object())


@pytest.mark.parametrize("trust", LEVELS)
@pytest.mark.parametrize("path", ["tests", "setup.cfg/more.py"])
def test_a_change_that_cannot_be_put_on_the_tree_is_not_resolved_and_no_error(
    sandbox: Sandbox, task: GradingTask, trust: Trust, path: str
) -> None:
    (task.tree / "setup.cfg").write_text("[metadata]\n")
    result = grade(
        sandbox, replace(task, trust=trust), patch({"shop/prices.py": GOLD, path: "in the way"})
    )
    assert not result.resolved
    assert len(result.tamper) == 1
    assert result.tamper[0].startswith("the change cannot be put on the tree: ")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.ENOMEM])
def test_a_machine_that_cannot_make_the_tree_is_a_failure_and_no_verdict(
    sandbox: Sandbox, task: GradingTask, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(Session, "apply", refuse)
    with pytest.raises(SandboxFailure, match="the tree to judge could not be made"):
        grade(sandbox, task, patch({"shop/prices.py": GOLD}))


def test_a_change_that_no_fresh_tree_holds_is_the_policys_fault(
    sandbox: Sandbox, task: GradingTask
) -> None:
    crowded = {f"new/{number}/file.py": "" for number in range(200)}
    small = replace(task, limits=replace(task.limits, files=300))
    assert grade(sandbox, small, patch({"shop/prices.py": GOLD})).resolved
    result = grade(sandbox, small, patch({"shop/prices.py": GOLD, **crowded}))
    assert "No space left on device" in result.policy_fault
    assert result.to_info()["policy_fault"] == result.policy_fault
    assert not result.resolved
    assert not result.clean


def test_a_tree_that_cannot_be_graded_unchanged_is_a_failure(
    sandbox: Sandbox, task: GradingTask
) -> None:
    hidden = {**task.hidden, **{f"tests/more/{number}.py": b"" for number in range(30)}}
    small = replace(task, hidden=hidden, limits=replace(task.limits, files=20))
    with pytest.raises(SandboxDied, match="the tree to judge could not be made"):
        grade(sandbox, small, patch({"shop/prices.py": GOLD}))


def test_a_session_that_cannot_be_started_is_never_the_policys_fault(
    sandbox: Sandbox, task: GradingTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise SandboxFailure("no session")

    monkeypatch.setattr(type(sandbox), "start", refuse)
    with pytest.raises(SandboxFailure, match="no session"):
        grade(sandbox, task, patch({"shop/prices.py": GOLD}))


def test_what_is_logged_of_a_change_is_short_and_valid_unicode(
    sandbox: Sandbox, task: GradingTask
) -> None:
    names = {f"tests/\udcff\x1b{number}" + "x" * 900: "" for number in range(150)}
    info = grade(sandbox, task, patch(names)).to_info()
    assert info["dropped_count"] == 150
    assert len(info["dropped"]) == 100
    assert info["dropped"][0]["path"].startswith(r"tests/\xff\x1b0xxx")
    assert len(json.dumps(info, ensure_ascii=False).encode()) < 100_000

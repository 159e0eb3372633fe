from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import pytest

from srl_env.data import (
    BadRow,
    JsonlSource,
    SWETrajectory,
    open_trajectories,
    split_of,
    write_jsonl,
)
from srl_env.data.splits import split_key
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadData
from srl_env.problem import ExpertStep, Problem, start_steps
from srl_env.swe import RecordedCalls, ToolCall, ToolCalls, call_similarity
from srl_env.text.prompt import PromptStyle
from srl_env.text.tool_calls import EDITOR

NO_OUTPUT = "Your command ran successfully and did not produce any output."
OLD, NEW = '    return max(prices)\n    """it\'s"""', "    return sum(prices)"
CALLS = (
    ToolCall("bash", {"command": "grep -rn total /testbed"}),
    ToolCall(EDITOR, {"command": "view", "path": "/testbed/shop.py", "view_range": (1, 9)}),
    ToolCall(
        EDITOR,
        {"command": "str_replace", "path": "/testbed/shop.py", "old_str": OLD, "new_str": NEW},
    ),
    ToolCall("submit", {}),
)
THOUGHTS = ("I look for `total`.", "Here it is:\n{\n", "It must be a sum.", "Done.")
SEEN = ("/testbed/shop.py:1:def total", "1 def total(prices):", "The file was edited.")
STEPS = tuple(
    ExpertStep(call.render(), thought=thought.strip(), observation=seen)
    for call, thought, seen in zip(CALLS, THOUGHTS, (*SEEN, ""), strict=True)
)
TOLD = (
    "<uploaded_files>\n/testbed\n</uploaded_files>\nRead this:\n<pr_description>\ntotal is wrong\n"
    "\nIt is the greatest.\n</pr_description>\nMend it."
)
ISSUE = "total is wrong\n\nIt is the greatest."
TYPED = (
    "grep -rn total /testbed",
    f"{EDITOR} view /testbed/shop.py --view_range 1 9",
    f"{EDITOR} str_replace /testbed/shop.py --old_str {quote(OLD)} --new_str {quote(NEW)}",
    "submit",
)


def tool_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.tool, "arguments": json.dumps(dict(call.arguments))}
    return {"id": "1", "type": "function", "function": function}


def messages(form: str, thoughts: Sequence[str] = THOUGHTS) -> list[dict[str, Any]]:
    """The trajectory as SWE-smith's rows have it."""
    turns: list[dict[str, Any]] = [
        {"role": "system", "content": "You are helpful."},
        {"role": "user", "content": [{"type": "text", "text": TOLD}]},
    ]
    for number, (call, thought) in enumerate(zip(CALLS, thoughts, strict=True)):
        if form == "tool":
            turns.append({"role": "assistant", "content": thought, "tool_calls": [tool_call(call)]})
        elif form == "xml":
            turns.append({"role": "assistant", "content": f"{thought}\n\n{call.render()}"})
        else:
            content = f"{thought}\n\n```\n{TYPED[number]}\n```"
            turns.append({"role": "assistant", "content": content})
        if number < len(SEEN):
            content = f"OBSERVATION:\n{SEEN[number]}"
            role = "tool" if form == "tool" else "user"
            turns.append({"role": role, "content": [{"type": "text", "text": content}]})
    return turns


def row(form: str = "xml", **others: Any) -> dict[str, Any]:
    return {
        "messages": json.dumps(messages(form)),
        "instance_id": "shop.1",
        "resolved": True,
        "model": "claude",
        "traj_id": "shop.1.abc",
        "patch": "diff",
        **others,
    }


def traj() -> dict[str, Any]:
    """The trajectory as SWE-agent writes it."""
    steps = zip(TYPED, THOUGHTS, (*SEEN, ""), strict=True)
    return {
        "environment": "swe_main",
        "trajectory": [
            {"action": f"{a}\n", "thought": t, "response": t, "observation": o, "state": {}}
            for a, t, o in steps
        ],
        "history": [
            {"role": "system", "content": "You are helpful."},
            {"role": "user", "content": "A demonstration.", "is_demo": True},
            {"role": "user", "content": TOLD},
        ],
        "info": {"exit_status": "submitted", "submission": "diff"},
    }


# -- rows --


@pytest.mark.parametrize("form", ["tool", "xml", "ticks"])
@pytest.mark.parametrize("encoded", [True, False], ids=["text", "list"])
def test_the_three_forms_give_the_same_steps(form: str, encoded: bool) -> None:
    told = json.dumps(messages(form)) if encoded else messages(form)
    problem = SWETrajectory()(row(messages=told))
    assert problem.trajectories[0].steps == STEPS
    assert problem.trajectories[0].source == "claude"
    assert (problem.id, problem.prompt, problem.answer) == ("shop.1.abc", ISSUE, None)
    assert problem.metadata == {
        "resolved": True,
        "model": "claude",
        "traj_id": "shop.1.abc",
        "patch": "diff",
        "instance_id": "shop.1",
    }


def test_the_issue_can_be_given_by_instance() -> None:
    assert SWETrajectory(statements={"shop.1": "Other."})(row()).prompt == "Other."
    bare = messages("xml")
    bare[1]["content"] = "Mend shop.py."
    assert SWETrajectory()(row(messages=bare)).prompt == "Mend shop.py."


def test_blocks_within_an_edit_belong_to_it_and_before_it_to_the_prose() -> None:
    told = messages("ticks")
    told[2]["content"] = "Like\n```python\nx = 1\n```\nso:\n```bash\nls\n```"
    told[4]["content"] = (
        f"A\n```\nb\n```\n```\n{EDITOR} create a.md --file_text 'x\n```\ny\n```\n'\n```"
    )
    steps = SWETrajectory()(row(messages=told)).trajectories[0].steps
    assert steps[0].action == ToolCall("bash", {"command": "ls"}).render()
    assert steps[0].thought == "Like\n```python\nx = 1\n```\nso:"
    text = "x\n```\ny\n```\n"
    call = ToolCall(EDITOR, {"command": "create", "path": "a.md", "file_text": text})
    assert (steps[1].action, steps[1].thought) == (call.render(), "A\n```\nb\n```")


@pytest.mark.parametrize("form", ["tool", "xml", "ticks"])
def test_turns_without_a_call_and_an_early_submit_are_dropped(form: str) -> None:
    told = messages(form)
    told[4:4] = [
        {"role": "assistant", "content": "I think\nso."},
        {"role": "user", "content": "Your output was not formatted correctly."},
        {**told[-1]},
        {"role": "user", "content": "Look again before you submit."},
    ]
    told.append({"role": "assistant", "content": "Exit due to cost limit"})
    problem = SWETrajectory()(row(messages=told))
    assert problem.trajectories[0].steps == STEPS
    assert problem.metadata["skipped_turns"] == 3


def test_a_few_unreadable_calls_are_dropped() -> None:
    told = messages("tool")
    wrong = {"id": "1", "function": {"name": "imagine", "arguments": "{}"}}
    told[2:2] = [
        {"role": "assistant", "content": "Hm.", "tool_calls": [wrong]},
        {"role": "tool", "content": "There is no such tool."},
    ]
    problem = SWETrajectory()(row(messages=told))
    assert (problem.trajectories[0].steps, problem.metadata["skipped_turns"]) == (STEPS, 1)
    told[4:4] = told[2:4]
    with pytest.raises(BadRow, match="no calls that can be read; 2 cannot; e.g.: There is no tool"):
        SWETrajectory()(row(messages=told))


def spoken(*said: tuple[str, Any], **others: Any) -> Problem:
    """The problem in a conversation: (role, content or a whole message) pairs."""
    told = [{"role": role, **(c if isinstance(c, dict) else {"content": c})} for role, c in said]
    return SWETrajectory()({"instance_id": "i", "messages": told, **others})


def native(name: str, call_id: str = "1", **arguments: Any) -> dict[str, Any]:
    return {"id": call_id, "function": {"name": name, "arguments": json.dumps(arguments)}}


def shell(command: str) -> str:
    return ToolCall("bash", {"command": command}).render()


def done(problem: Problem) -> list[tuple[str, str | None, str | None]]:
    """(action, thought, observation) of each step."""
    return [(s.action, s.thought, s.observation) for s in problem.trajectories[0].steps]


SUBMIT = ToolCall("submit", {}).render()
LS, CAT = shell("ls"), shell("cat a")


def test_parallel_calls_are_steps_in_their_order_with_their_own_answers() -> None:
    calls = {"content": "Look.", "tool_calls": [native("bash", "x", command="ls"),
                                                native("bash", "y", command="cat a")]}  # fmt: skip
    problem = spoken(
        ("user", "Fix it."),
        ("assistant", calls),
        ("tool", {"tool_call_id": "y", "content": "text of a"}),
        ("tool", {"tool_call_id": "x", "content": "a"}),
        ("assistant", {"content": None, "tool_calls": [native("submit", "z")]}),
    )
    steps = [(LS, "Look.", "a"), (CAT, None, "text of a"), (SUBMIT, None, "")]
    assert done(problem) == steps
    unnamed = spoken(
        ("user", "Fix it."), ("assistant", calls), ("tool", "a"), ("tool", "text of a")
    )
    assert done(unnamed) == steps[:2]


def test_parallel_calls_in_the_xml_form_are_steps() -> None:
    problem = spoken(("user", "Fix it."), ("assistant", f"Look.\n{LS}\n{CAT}"), ("user", "a"))
    assert done(problem) == [(LS, "Look.", "a"), (CAT, None, "")]


def test_tools_of_other_agents_are_ours() -> None:
    problem = spoken(
        ("user", "Fix it."),
        ("assistant", {"tool_calls": [native("think", "1", thought="It is x.")]}),
        ("tool", {"tool_call_id": "1", "content": "Your thought has been logged."}),
        ("assistant", {"content": "I look.", "tool_calls": [
            native("execute_bash", "2", command="ls", security_risk="LOW", timeout=9)]}),
        ("tool", {"tool_call_id": "2", "content": "a"}),
        ("assistant", {"tool_calls": [
            native("str_replace_based_edit_tool", "3", command="view", path="/a")]}),
        ("tool", {"tool_call_id": "3", "content": "x"}),
        ("assistant", {"tool_calls": [native("finish", "4", message="fixed")]}),
    )  # fmt: skip
    view = ToolCall(EDITOR, {"command": "view", "path": "/a"}).render()
    assert done(problem) == [
        (LS, "It is x.\n\nI look.", "a"),
        (view, None, "x"),
        (SUBMIT, None, ""),
    ]
    assert "skipped_turns" not in problem.metadata


def test_rows_of_role_and_text_are_read() -> None:
    turns = [("system", "s"), ("user", "Fix it."), ("ai", "I look.\n```\nls\n```"), ("user", "a")]
    for column, keys in (("trajectory", ("role", "text")), ("messages", ("from", "value"))):
        told = [dict(zip(keys, turn, strict=True)) for turn in turns]
        problem = SWETrajectory()({"instance_id": "i", column: told})
        assert (problem.prompt, done(problem)) == ("Fix it.", [(LS, "I look.", "a")])


def test_parts_with_tool_use_are_calls() -> None:
    use = {"type": "tool_use", "id": "1", "name": "bash", "input": {"command": "ls"}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "a"}]}
    problem = spoken(
        ("user", [{"type": "text", "text": "Fix it."}]),
        ("assistant", [{"type": "text", "text": "I look."}, use]),
        ("user", [result]),
        ("assistant", [{"type": "text", "text": "Done."}]),
    )
    assert done(problem) == [(LS, "I look.", "a")]


def test_a_fenced_command_may_have_fences_in_it() -> None:
    command = "cat > R.md <<'EOF'\n```python\nx = 1\n```\nEOF"
    problem = spoken(("user", "Write."), ("assistant", f"A page.\n\n```\n{command}\n```"))
    assert done(problem) == [(shell(command), "A page.", "")]


def test_answers_in_several_messages_are_one_observation() -> None:
    told = messages("xml")
    told.insert(4, {"role": "user", "content": "(a reminder)"})
    step = SWETrajectory()(row(messages=told)).trajectories[0].steps[0]
    assert step.observation == f"{SEEN[0]}\n(a reminder)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": "nonsense"}, '"messages" is a text but no JSON; Expecting value'),
        ({"messages": []}, '"messages" is not a filled list'),
        (
            {"messages": [{"role": "boss"}]},
            "a message of no known role; expected one of system, user",
        ),
        ({"messages": ["x"]}, "a message of no known role"),
        ({"messages": [{"role": "system", "content": "x"}]}, "no message to the agent; expected"),
        ({"messages": [{"role": "user", "content": 5}]}, "a message that is not text"),
        ({"messages": [{"role": "user", "content": [{"image": 1}]}]}, "a message that is not text"),
        ({"messages": messages("xml")[:2]}, "no calls that can be read; 0 cannot"),
        ({"messages": [*messages("xml")[:3], *messages("xml")[4:]]}, "a call without its answer"),
        ({"resolved": False}, 'not resolved; "resolved" is False; expected true'),
        ({"resolved": None}, "not resolved"),
    ],
)
def test_a_row_that_cannot_be_used_is_bad_for_a_reason(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadRow) as raised:
        SWETrajectory(resolved_only=True)(row(**change))
    assert str(raised.value).startswith(message)


def test_a_row_without_messages_is_bad() -> None:
    with pytest.raises(BadRow, match='no "messages" and no "trajectory"; expected one of them'):
        SWETrajectory()({"instance_id": "a"})


# -- SWE-agent's files --


def test_a_traj_file_gives_the_same_steps(tmp_path: Path) -> None:
    (tmp_path / "shop.1").mkdir()
    (tmp_path / "shop.1" / "shop.1.traj").write_text(json.dumps(traj(), indent=2))
    for path in (tmp_path, tmp_path / "shop.1" / "shop.1.traj"):
        (problem,) = open_trajectories(path)
        assert problem.trajectories[0].steps == STEPS
        assert (problem.id, problem.prompt) == ("shop.1", ISSUE)


def test_the_issue_is_taken_from_the_configuration_where_it_is_kept() -> None:
    config = json.dumps({"problem_statement": {"text": "As configured.", "id": "x"}})
    assert SWETrajectory()(traj() | {"replay_config": config}).prompt == "As configured."
    assert SWETrajectory()(traj() | {"replay_config": "{"}).prompt == ISSUE


def test_bad_traj_files_are_reported_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.traj").write_text("{\n x")
    (tmp_path / "b.traj").write_text(json.dumps({"trajectory": [{"state": "x"}]}))
    (tmp_path / "c.traj").write_text(json.dumps(traj()))
    source = open_trajectories(tmp_path, on_bad_row="drop")
    assert [problem.id for problem in source] == ["c"]
    assert source.report is not None
    reported = str(source.report)
    assert f"{tmp_path / 'a.traj'}:1: no JSON; Expecting property name" in reported
    assert "at line 2, column 2" in reported
    assert 'b.traj:1: a step of "trajectory" has no "action"; expected SWE-agent' in reported
    with pytest.raises(BadData, match="there is no such file or folder"):
        open_trajectories(tmp_path / "gone.traj")


# -- sources --


def test_lines_that_cannot_be_read_are_reported_by_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [row(), row(traj_id="b", resolved=False), row(traj_id="c", messages="[]"), row("tool")]
    path.write_text("\n".join(map(json.dumps, rows)))
    source = open_trajectories(path, resolved_only=True, on_bad_row="drop")
    assert [problem.id for problem in source] == ["shop.1.abc"]
    report = str(source.report)
    assert "1 of 4 rows kept" in report
    assert f'{path}:2: not resolved; "resolved" is False' in report
    assert f'{path}:3: "messages" is not a filled list' in report
    assert f"{path}:4: the id of an earlier row; which is {path}:1" in report


def test_trajectories_of_one_instance_are_in_one_split(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [row(instance_id=f"i{n % 20}", traj_id=f"t{n}") for n in range(60)]
    path.write_text("\n".join(map(json.dumps, rows)))
    fractions = {"train": 0.5, "dev": 0.5}
    parts = {
        part: [split_key(p) for p in open_trajectories(path, split=part, fractions=fractions)]
        for part in fractions
    }
    assert len(parts["train"]) + len(parts["dev"]) == 60
    assert not {*parts["train"]} & {*parts["dev"]}
    assert all(split_of(instance, fractions) == "train" for instance in parts["train"])
    assert parts["train"]
    assert parts["dev"]


def test_a_parquet_file_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list([row()]).to_parquet(str(tmp_path / "rows.parquet"))
    path = tmp_path / "rows.parquet"
    (problem,) = open_trajectories(path)
    assert problem.trajectories[0].steps == STEPS


# -- as data for SRL --


def offline_env(path: Path) -> ReasoningEnv:
    path.write_text(json.dumps(row("tool")))
    return ReasoningEnv(
        open_trajectories(path),
        RecordedCalls(),
        format=ToolCalls(),
        measure="tool-calls",
        style=PromptStyle(step_task="", problem="{problem}", last_turns=2),
    )


def test_step_instances_are_shown_the_issue_and_the_last_two_answers(tmp_path: Path) -> None:
    env = offline_env(tmp_path / "rows.jsonl")
    assert start_steps(env.problems[0]) == range(3)
    _, info = env.reset(seed=1, options={"start_step": 2})
    said = [(message["role"], message["content"]) for message in info["messages"]]
    assert said[1:] == [
        ("user", ISSUE),
        ("assistant", CALLS[0].render()),
        ("user", f"Observation:\n{SEEN[0]}"),
        ("assistant", CALLS[1].render()),
        ("user", f"Observation:\n{SEEN[1]}"),
    ]
    _, info = env.reset(seed=1, options={"start_step": 3})
    assert CALLS[0].render() not in str(info["messages"])
    assert [message["content"] for message in info["messages"]][1] == ISSUE


def test_the_expert_gets_full_marks_and_others_are_compared_call_by_call(tmp_path: Path) -> None:
    env = offline_env(tmp_path / "rows.jsonl")
    env.reset(seed=1)
    rewards, ended = [], False
    while not ended:
        _, reward, ended, _, info = env.step(env.expert_completion())
        rewards.append(reward)
    assert rewards == [1.0, 1.0, 1.0, 1.0]
    assert info["verdict"] is None  # the steps judged would be the expert's
    env.reset(seed=1)
    own = "I look.\n```\ngrep -n total .\n```"
    _, reward, _, _, info = env.step(own)
    expected = call_similarity("```\ngrep -n total .\n```", CALLS[0].render())
    assert reward == expected
    assert 0.5 < expected < 1.0
    assert info["messages"][2]["content"] == CALLS[0].render()
    assert env.step("I do not know.")[1] == -1.0
    assert env.step(ToolCall("submit", {}).render())[1] == 0.0


def test_what_was_read_can_be_written_as_plain_problems(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row("ticks")))
    source = open_trajectories(path)
    write_jsonl(tmp_path / "plain.jsonl", source)
    (problem,) = JsonlSource(tmp_path / "plain.jsonl")
    assert problem == source[0]
    copy: Problem = pickle.loads(pickle.dumps(source))[0]
    assert copy == problem

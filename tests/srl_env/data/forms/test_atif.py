from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from srl_env.data.files.write import open_writer
from srl_env.data.forms.atif import ATIFTrajectory, atif_rows
from srl_env.data.rows import BadRow
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem

CALL = {"tool_call_id": "c1", "function_name": "bash", "arguments": {"command": "ls"}}
OTHER = {"tool_call_id": "c2", "function_name": "search", "arguments": {"q": "π", "n": None}}
LS = "<function=bash>\n<parameter=command>ls</parameter>\n</function>"


def trajectory(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An ATIF document with a system and a user step, then the given ones."""
    told = [
        {"source": "system", "message": "You are an agent."},
        {"source": "user", "message": "Mend it."},
    ]
    numbered = [{"step_id": i, **step} for i, step in enumerate([*told, *steps], 1)]
    return {
        "schema_version": "ATIF-v1.7",
        "session_id": "session",
        "agent": {"name": "a", "version": "1", "model_name": "model"},
        "steps": numbered,
        **more,
    }


def test_each_call_is_a_step_with_the_result_that_names_it() -> None:
    results = [
        {"source_call_id": "c2", "content": [{"type": "text", "text": "two"}, {"type": "image"}]},
        {"source_call_id": "c1", "content": "one"},
        {"source_call_id": None, "content": "all"},
    ]
    problem = ATIFTrajectory()(
        trajectory(
            {
                "source": "agent",
                "message": "I look.",
                "reasoning_content": "Hm.",
                "tool_calls": [CALL, OTHER],
                "observation": {"results": results},
            },
            {"source": "agent", "message": "It is done."},
        )
    )
    assert (problem.id, problem.prompt, problem.metadata) == ("session", "Mend it.", {})
    assert problem.trajectories[0].source == "model"
    assert problem.trajectories[0].steps == (
        ExpertStep(LS, thought="Hm.\nI look.", observation="one"),
        ExpertStep('{"name": "search", "arguments": {"q": "π"}}', observation="two\n[image]\nall"),
        ExpertStep("It is done."),
    )


def test_steps_that_no_model_made_here_are_dropped() -> None:
    problem = ATIFTrajectory()(
        trajectory(
            {"source": "agent", "message": "earlier", "is_copied_context": True},
            {"source": "user", "message": "Go on."},
            {"source": "agent", "message": "first", "llm_call_count": 1},
            {
                "source": "agent",
                "message": "dispatch",
                "llm_call_count": 0,
                "observation": {"results": [{"content": "dispatched"}]},
            },
            {"source": "system", "message": "compacted"},
            {"source": "user", "message": "And then?"},
            {"source": "agent", "message": ""},
            {"source": "agent", "message": "last"},
            trajectory_id="document",
        )
    )
    assert (problem.id, problem.prompt) == ("document", "Mend it.\n\nGo on.")
    assert problem.trajectories[0].steps == (
        ExpertStep("first", observation="dispatched\nAnd then?"),
        ExpertStep("last"),
    )
    assert problem.metadata == {"skipped_steps": 2}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (trajectory(schema_version="ATIF-v2.0"), "no ATIF-v1"),
        (trajectory(), "no step of an agent"),
        (trajectory(steps=[]), "no message of a user"),
        (trajectory(steps="x"), '"steps" is no list of objects'),
        (trajectory({"source": "agent", "message": 3}), "a message that is not text"),
        (trajectory({"source": "agent", "tool_calls": ["x"]}), '"tool_calls" is no list'),
        (
            trajectory({"source": "agent", "tool_calls": [{"arguments": {}}]}),
            "a tool call that cannot be read",
        ),
        (
            trajectory({"source": "agent", "message": "x", "observation": {"results": ["x"]}}),
            "a result of",
        ),
    ],
)
def test_a_row_that_is_not_a_trajectory_is_bad(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        ATIFTrajectory()(row)


def test_what_is_written_is_read_back() -> None:
    steps = (
        ExpertStep(LS, thought="I look.", observation="a.py"),
        ExpertStep(
            '<tool_call>\n{"name": "search", "arguments": {"q": "π"}}\n</tool_call>',
            observation="two",
        ),
        ExpertStep("It is done.", thought="Yes."),
    )
    problem = Problem("p/1", "Mend it.", trajectories=(ExpertTrajectory(steps, "model"),))
    (row,) = atif_rows(problem)
    again = ATIFTrajectory()(row)
    assert (again.id, again.prompt) == ("p/1", "Mend it.")
    assert again.trajectories[0].source == "model"
    assert again.trajectories[0].steps == (
        steps[0],
        ExpertStep('{"name": "search", "arguments": {"q": "π"}}', observation="two"),
        steps[2],
    )


def test_a_file_of_atif_lines_has_one_for_each_trajectory(tmp_path: Path) -> None:
    problem = Problem("p", "Mend it.", trajectories=(ExpertTrajectory((ExpertStep("a"),)),) * 2)
    with open_writer(tmp_path / "out.atif.jsonl") as writer:
        writer.add(problem)
        writer.add(Problem("q", "Without a trajectory.", "1"))
    rows = [json.loads(line) for line in (tmp_path / "out.atif.jsonl").read_text().splitlines()]
    assert [row["trajectory_id"] for row in rows] == ["p", "p#1"]

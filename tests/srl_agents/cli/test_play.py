"""A person at the terminal: steps, commands, colours, and what is saved."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

import srl_env
from srl_agents.cli.main import app
from srl_agents.cli.play.recording import EXPERT, PLAYED, Recording
from srl_agents.cli.play.session import difference, hint, play
from srl_env.data import JsonlSource
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadData, UnknownName
from srl_env.problem import ExpertStep
from srl_env.testing import CountingEnv, SlowWorldEnv
from srl_env.text.format import Brackets
from srl_env.text.prompt import PromptStyle

RIGHT = "say 1\n\nsay 2\n\nthe sum=3!\n\n"
TWO = {"problem": "count-2", "reward_mode": "rlvr"}


def played(
    folder: Path,
    typed: str,
    env: ReasoningEnv | None = None,
    options: dict[str, Any] | None = None,
    width: int = 200,
    **more: Any,
) -> str:
    """What is on the screen after a session."""
    screen = io.StringIO()
    console = Console(file=screen, width=width)
    recording = Recording(folder)
    play(
        env or CountingEnv(),
        recording,
        screen=console,
        source=io.StringIO(typed),
        options=TWO if options is None else options,
        **{"episodes": 1} | more,
    )
    return screen.getvalue()


@pytest.mark.parametrize(
    ("typed", "shown", "step"),
    [
        ("one\n:hint\ntwo\n\n", "hint: Number 1", "one\ntwo"),
        ("one\n:help\n\n", "  :hint        the next step's title", "one"),
        ("one\n:show\ntwo\n\n", "your step continues after 1 line", "one\ntwo"),
        ("one\ntwo\n:mode srl\n\n", "your step continues after 2 lines", "one\ntwo"),
        ("one\n:system\n\n", "Write only the single next step", "one"),
        ("one\n:hnit\n:param x: text\n\n", "reward 0", "one\n:hnit\n:param x: text"),
        ("one\n::hint\n::1\n\n", "reward 0", "one\n:hint\n::1"),
        ("one\n :hint\n\n", "reward 0", "one\n :hint"),
        ("dropped\n:undo\nsay 1\n\n", "no step can be taken back", "say 1"),
    ],
)
def test_commands_work_on_any_line_and_leave_the_step_alone(
    typed: str, shown: str, step: str, tmp_path: Path
) -> None:
    screen = played(tmp_path, f"{typed}:quit\n")
    assert shown in screen.split("step 1 (:help)", 1)[1]
    (row,) = rows(tmp_path / PLAYED)
    assert row["trajectories"][0]["steps"] == [step]


@pytest.mark.parametrize("command", [":quit", ":next"])
def test_leaving_within_a_step_drops_it(command: str, tmp_path: Path) -> None:
    played(tmp_path, f"one\n{command}\n")
    assert not (tmp_path / PLAYED).exists()


def test_lines_break_between_words_where_the_terminal_ends(tmp_path: Path) -> None:
    class Wordy(SlowWorldEnv):
        def world_step(self, action: str) -> str:
            return " ".join(["syllable"] * 30)

    screen = played(tmp_path, "say 1\n\n:quit\n", Wordy(), width=37)
    lines = [line.strip() for line in screen.splitlines() if "syll" in line or "able" in line]
    assert len(lines) == 8  # 4 words of 8 letters and 3 spaces are 35
    assert {word for line in lines for word in line.split()} == {"syllable"}


def test_the_system_prompt_is_shown_when_asked_for(tmp_path: Path) -> None:
    task = "Write only the single next step"
    assert task not in played(tmp_path, "say 1\n\n:show\n:quit\n")
    assert played(tmp_path, ":system\n:quit\n").count(task) == 1
    env = CountingEnv(style=PromptStyle.bare(), format=Brackets())
    assert "Count to 2" in played(tmp_path, ":quit\n", env)


def test_the_note_of_an_environment_is_for_people_too(tmp_path: Path) -> None:
    env = CountingEnv(style=PromptStyle(note="The last step begins with the word the."))
    assert played(tmp_path, ":quit\n", env).count("The last step begins") == 1


def test_a_world_that_cannot_be_copied_is_played_without_undo(tmp_path: Path) -> None:
    class Locked(SlowWorldEnv):
        slow_world = False

        def world_step(self, action: str) -> str:
            self.world = threading.Lock()
            return "done"

    screen = played(tmp_path, "say 1\n\nsay 2\n\n:undo\n:quit\n", Locked())
    assert screen.count("done") == 2
    assert "no step can be taken back" in screen


@pytest.mark.parametrize(
    ("arguments", "played_as", "answer"),
    [
        ([], "srl · policy", "honey costs 9"),
        (["--mode", "rlvr"], "rlvr · policy", "honey costs 9"),
        (["--continuation", "expert"], "srl · expert", "apple costs 3"),
        (["--kwargs", '{"continuation": "expert"}'], "srl · expert", "apple costs 3"),
    ],
)
def test_a_world_answers_what_was_typed_unless_the_expert_is_asked_for(
    arguments: list[str], played_as: str, answer: str, tmp_path: Path
) -> None:
    file = str(Path(__file__).parents[3] / "examples" / "tool_environment.py")
    asked = ["play", file, "--problem", "0", "-o", str(tmp_path / "out"), *arguments]
    result = CliRunner().invoke(app, asked, input="price honey\n\n:quit\n")
    assert result.exit_code == 0, result.output
    assert played_as in result.output
    assert answer in result.output


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_correct_solution_becomes_an_expert_trajectory(tmp_path: Path) -> None:
    screen = played(tmp_path, RIGHT)
    assert "\ncorrect\n" in screen
    (problem,) = JsonlSource(tmp_path / EXPERT)
    (way,) = problem.trajectories
    assert (problem.id, way.source) == ("count-2", "human")
    assert way.actions == ("say 1", "say 2", "the sum=3!")
    env = CountingEnv()
    env.problems = JsonlSource(tmp_path / EXPERT)
    assert srl_env.check_env(env, hostile=20, problems=1).passed


def test_another_session_adds_a_solution_and_repeats_none(tmp_path: Path) -> None:
    played(tmp_path, RIGHT)
    played(tmp_path, RIGHT)
    played(tmp_path, "say 1\n\nthe sum=3!\n\n")
    (problem,) = JsonlSource(tmp_path / EXPERT)
    assert [len(way.steps) for way in problem.trajectories] == [3, 2]
    assert [row["id"] for row in rows(tmp_path / PLAYED)] == ["count-2#1", "count-2#2", "count-2#3"]


def test_a_wrong_solution_is_kept_but_is_no_expert(tmp_path: Path) -> None:
    screen = played(tmp_path, "say 1\n\nthe sum=9!\n\n")
    assert "\nwrong\n" in screen
    assert "The expert's solution:" in screen
    assert not (tmp_path / EXPERT).exists()
    (row,) = rows(tmp_path / PLAYED)
    assert row["metadata"]["played"]["correct"] is False
    assert row["metadata"]["played"]["rewards"] == [0.0, 0.0]


@pytest.mark.parametrize("end", ["", ":quit\n"])
def test_stopping_early_loses_nothing(end: str, tmp_path: Path) -> None:
    played(tmp_path, f"say 1\n\n{end}")
    (row,) = rows(tmp_path / PLAYED)
    assert row["trajectories"][0]["steps"] == ["say 1"]
    assert row["metadata"]["played"]["correct"] is None
    assert len(JsonlSource(tmp_path / PLAYED)[0].trajectories) == 1


def test_wrong_options_are_errors_before_anything_is_shown(tmp_path: Path) -> None:
    screen = io.StringIO()
    with pytest.raises(UnknownName, match="no reward mode 'slr'"):
        play(
            CountingEnv(),
            Recording(tmp_path),
            screen=Console(file=screen),
            source=io.StringIO(""),
            options={"reward_mode": "slr"},
        )
    assert screen.getvalue() == ""


def test_the_help_is_shown_once(tmp_path: Path) -> None:
    assert played(tmp_path, RIGHT + RIGHT, episodes=2).count(":undo") == 1


def test_ctrl_c_ends_the_session_and_saves(tmp_path: Path) -> None:
    class Interrupting(io.StringIO):
        def readline(self, size: int = -1) -> str:
            line = super().readline()
            if not line:
                raise KeyboardInterrupt
            return line

    play(
        CountingEnv(),
        Recording(tmp_path),
        screen=Console(file=io.StringIO()),
        source=Interrupting("say 1\n\n"),
        options=TWO,
    )
    assert len(rows(tmp_path / PLAYED)) == 1


def test_nothing_typed_saves_nothing(tmp_path: Path) -> None:
    played(tmp_path, "")
    assert not list(tmp_path.iterdir())


def test_scored_steps_are_shown_beside_the_experts(tmp_path: Path) -> None:
    screen = played(tmp_path, "say 7\n\n:quit\n", options={**TWO, "reward_mode": "srl"})
    assert "reward 0.8 (similarity 0.8, format 1); not a correct step" in screen
    assert "yours:  say 7\nexpert: say 1\n" in screen
    assert "the expert's step is used: say 1" in screen


def test_the_expert_is_not_shown_before_a_step_is_scored(tmp_path: Path) -> None:
    screen = played(tmp_path, ":show\n:quit\n", options={**TWO, "reward_mode": "srl"})
    assert "say 1" not in screen
    assert "sum=3" not in screen


def test_matching_characters_are_green_and_others_red() -> None:
    mine, theirs = difference("say 7", "say 1")
    assert [(mine.plain[s.start : s.end], s.style) for s in mine.spans] == [
        ("say ", "green"),
        ("7", "red"),
    ]
    assert theirs.plain == "expert: say 1"


def test_hints_start_with_the_title_and_end_with_the_whole_step() -> None:
    step = ExpertStep("12345678", title="Number 1")
    assert [hint(step, n) for n in range(1, 7)] == [
        "hint: Number 1",
        "hint: 12…",
        "hint: 1234…",
        "hint: 123456…",
        "hint: 12345678",
        "hint: 12345678",
    ]
    assert hint(ExpertStep("12345678"), 1) == "hint: 12…"


def test_hints_are_counted_in_what_is_saved(tmp_path: Path) -> None:
    screen = played(tmp_path, ":hint\n:hint\nsay 1\n\n:quit\n")
    assert "hint: Number 1" in screen
    assert rows(tmp_path / PLAYED)[0]["metadata"]["played"]["hints"] == [2]


def test_a_step_can_be_taken_back(tmp_path: Path) -> None:
    screen = played(tmp_path, ":undo\nsay 9\n\n:undo\n" + RIGHT)
    assert "no step can be taken back" in screen
    assert JsonlSource(tmp_path / EXPERT)[0].trajectories[0].actions[0] == "say 1"


def test_a_slow_world_is_not_gone_back_in(tmp_path: Path) -> None:
    screen = played(tmp_path, "say 1\n\n:undo\n:quit\n", SlowWorldEnv())
    assert "1 said" in screen
    assert "no step can be taken back" in screen
    assert rows(tmp_path / PLAYED)[0]["trajectories"][0]["steps"] == [
        {"action": "say 1", "observation": "1 said"}
    ]


def test_modes_change_between_episodes(tmp_path: Path) -> None:
    options = {"problem": "count-2", "reward_mode": "rlvr"}
    screen = played(tmp_path, ":mode slr\n:mode srl\n:next\n:quit\n", options=options, episodes=2)
    assert "no reward mode 'slr'. Did you mean 'srl'?" in screen
    assert "count-2 · rlvr · policy" in screen
    assert "count-2 · srl · expert" in screen


def test_an_unknown_command_lists_those_there_are(tmp_path: Path) -> None:
    screen = played(tmp_path, ":hnit\n:quit\n")
    assert "no command :hnit" in screen
    assert screen.count(":undo        take the last step back") == 2


def test_an_action_may_start_with_a_colon(tmp_path: Path) -> None:
    played(tmp_path, "::say 1\n\n:quit\n")
    assert rows(tmp_path / PLAYED)[0]["trajectories"][0]["steps"] == [":say 1"]


def test_a_thought_is_typed_in_the_environments_own_form(tmp_path: Path) -> None:
    played(tmp_path, "<think>one\nfirst</think>\nsay 1\n\n:quit\n")
    (step,) = rows(tmp_path / PLAYED)[0]["trajectories"][0]["steps"]
    assert step == {"action": "say 1", "thought": "one\nfirst"}


def test_what_the_world_says_cannot_move_the_cursor(tmp_path: Path) -> None:
    class Rude(SlowWorldEnv):
        def world_step(self, action: str) -> str:
            return "\x1b[2J\x07[bold]gone"

    screen = played(tmp_path, "say 1\n\n:quit\n", Rude())
    assert r"\x1b[2J\x07[bold]gone" in screen


def test_a_file_of_something_else_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / PLAYED).write_text("not ours\n")
    with pytest.raises(BadData, match=r"played\.jsonl:1: no JSON"):
        Recording(tmp_path)

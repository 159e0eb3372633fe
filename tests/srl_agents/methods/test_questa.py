"""QuestA: what the prompt shows, by hand and in a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srl_agents.methods.prefix import ProblemStats
from srl_agents.methods.questa import Shares
from srl_agents.methods.stages import Starts
from srl_agents.methods.starts import StartSampler
from srl_agents.runs.config import make_config
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from srl_env.data import ListSource
from srl_env.errors import BadOption
from srl_env.testing import counting_problem
from tests.srl_agents.letters import lines


def test_half_and_then_a_quarter_is_shown() -> None:
    generator = np.random.default_rng(0)
    shares = [Shares().fraction(at, ProblemStats(), generator) for at in (0.0, 0.49, 0.5, 1.0)]
    assert shares == [0.5, 0.5, 0.25, 0.25]
    with pytest.raises(BadOption, match="shares"):
        Shares(shares=())


@pytest.mark.parametrize(
    ("progress", "options"),
    [(0.0, {"hint": 2 / 5}), (0.9, {"hint": 1 / 5})],  # ⌊0.5 · 5⌋ = 2, ⌊0.25 · 5⌋ = 1
)
def test_whole_steps_are_shown_and_the_episode_starts_at_the_problem(
    progress: float, options: dict[str, float]
) -> None:
    source = ListSource((counting_problem(4),))  # 5 steps
    starts = StartSampler(source, Starts(prefix=Shares(), place="hint"), ("key",))
    starts.progress = progress
    (point,) = starts.draw(1)
    assert point.options == {"problem": 0, "start_step": 0, **options}


def test_the_prompts_of_a_run_have_the_hint_and_none_after_a_share_of_0(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    changes = {
        "method": "questa",
        "out": str(tmp_path / "run"),
        "log": {"rollouts_every": 1},
        "stages": {"rlvr": {"starts": {"prefix": {"shares": [0.5, 0.0]}}}},
    }
    train(make_config(merged(tree, changes)))
    seen: dict[int, set[bool]] = {}
    for line in lines(tmp_path / "run", "rollouts"):
        letter = line["problem_id"]
        shown = letter * 4 in line["steps"][0]["messages"][0]["content"]
        seen.setdefault(line["update"], set()).add(shown)
        assert line["start_step"] == 0
    assert seen == {1: {True}, 2: {True}, 3: {True}, 4: {False}, 5: {False}, 6: {False}}

"""Runs that draw their starts from several environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from srl_agents.collection.environments import Environments
from srl_agents.methods.mixed_starts import MixedStarts
from srl_agents.methods.stages import Starts
from srl_agents.methods.starts import StartPoint, StartResult, StartSampler
from srl_agents.objectives.requests import DemonstrationRequest
from srl_agents.runs.config import make_config
from srl_agents.runs.input_checks import check_inputs
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from srl_env.data import ListSource
from srl_env.errors import BadOption, UnknownName
from srl_env.problem import Problem
from srl_env.text.format import ParsedStep, ThinkTags
from tests.srl_agents import letters


def mixed(**weights: float) -> MixedStarts:
    samplers = {
        name: StartSampler(
            ListSource([Problem(f"{name}{i}", "?") for i in range(5)], name), Starts(), (0, "srl")
        )
        for name in weights
    }
    return MixedStarts(samplers, weights)


def names(points: Sequence[StartPoint]) -> str:
    return "".join(point.env for point in points)


def test_each_environment_gets_its_share_of_every_few_starts() -> None:
    assert names(mixed(a=2.0, b=1.0).draw(9)) == "abaabaaba"
    assert names(mixed(a=1.0, b=1.0).draw(5)) == "ababa"
    assert names(mixed(a=1.0, b=3.0).draw(8)) == "babbbabb"
    starts = mixed(a=2.0, b=1.0)
    assert names([point for size in (2, 3, 4) for point in starts.draw(size)]) == "abaabaaba"


def test_restored_starts_continue_with_the_same_draws() -> None:
    whole, begun, resumed = (mixed(a=2.0, b=1.0) for _ in range(3))
    drawn = whole.draw(12)
    assert begun.draw(5) == drawn[:5]
    state = begun.state()
    resumed.restore(state)
    rest = resumed.draw(7)
    assert rest == drawn[5:]
    assert names(rest) == names(drawn[5:])


def test_what_happened_is_recorded_where_the_start_came_from() -> None:
    starts = mixed(a=1.0, b=1.0)
    first, second = starts.draw(2)
    starts.record(second, StartResult((0.0,), (), informative=False))
    assert starts.samplers["a"].without_signal == set()
    assert starts.samplers["b"].without_signal == {second}
    assert starts.problem(first).id == f"a{first.problem}"


@dataclass(frozen=True)
class Prefilled(ThinkTags):
    """Completions begin with the letter a; any text is in the form."""

    instructions = "Begin with a."
    prefill: str = "a"

    def __post_init__(self) -> None:
        """Any prefill."""

    def parse(self, text: str) -> ParsedStep:
        return ParsedStep(None, text.strip(), True)

    def render(self, step: Any) -> str:
        return f"a{step.action}"


def two(tree: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A run on the first letters with weight 2, and on the last ones in another format."""
    del tree["env"]
    first = {"id": letters.__file__, "name": "first", "weight": 2.0, "options": {"letters": "ab"}}
    format = f"{__name__}:Prefilled"
    last = {"id": letters.__file__, "name": "last", "options": {"letters": "cd", "format": format}}
    tree |= {"envs": [first, merged(last, changes)], "log": {"rollouts_every": 1}}
    return merged(tree, {"train": {"batch": 6}, "log": {"tensorboard": False}})


def test_what_a_format_asks_for_is_said_as_the_policy_sees_it(tree: dict[str, Any]) -> None:
    del tree["env"]
    config = make_config({**tree, "env": {"id": "srl/ToolShop-v0"}})
    envs, (stage, *_) = Environments(config), config.resolved_method.stages
    assert "You have these tools" in envs.instructions(stage)
    assert "You have these tools" not in envs.instructions(stage, native_tools=True)
    assert "Then call exactly one tool" in envs.instructions(stage, native_tools=True)
    envs.close()


def test_metrics_and_rollouts_name_the_environment(tree: dict[str, Any], tmp_path: Path) -> None:
    once = {"budget": {"updates": 2}, "train": {"objective": {"max_groups": 1}}}
    result = train(make_config(merged(two(tree), once)))
    for update in letters.updates(result.folder):
        # of six groups of eight, four are of the environment with twice the weight
        assert (update["episodes/first"], update["episodes/last"]) == (32, 16)
        mean = (2 * update["reward/first"] + update["reward/last"]) / 3
        assert update["reward"] == pytest.approx(mean)
        assert 0 < update["groups/informative_fraction/first"] <= 1
    rows = letters.lines(result.folder, "rollouts")
    assert {row["env"]: {row["problem_id"] for row in rows} for row in rows}.keys() >= {"first"}
    for row in rows:
        assert row["problem_id"] in {"first": "ab", "last": "cd"}[row["env"]]
        assert row["steps"][0]["generation"]["text"].startswith("a") or row["env"] == "first"


def test_a_resumed_run_is_the_same(tree: dict[str, Any], tmp_path: Path) -> None:
    given = two(tree)
    for name, budgets in (("whole", [4]), ("parts", [2, 4])):
        for number, updates in enumerate(budgets):
            changes = {"out": str(tmp_path / name), "budget": {"updates": updates}}
            train(make_config(given | changes), resume=number > 0)
    times = ("time", "tokens_per_s", "seconds")
    whole, parts = (
        [
            {k: v for k, v in row.items() if not k.startswith(times)}
            for row in letters.updates(tmp_path / name)
        ]
        for name in ("whole", "parts")
    )
    assert whole == parts


def test_a_stage_chooses_its_environments(tree: dict[str, Any]) -> None:
    given = two(tree) | {"method": ["sft", "srl"], "budget": {"updates": 2}}
    given["stages"] = {
        "sft": {"envs": ["last"], "until": {"updates": 1}},
        "srl": {"envs": ["first"]},
    }
    result = train(make_config(given))
    sft, srl = letters.updates(result.folder)
    assert (sft["stage"], srl["stage"]) == ("sft", "srl")
    assert srl["episodes/first"] == srl["episodes"]
    assert "episodes/last" not in srl
    with pytest.raises(UnknownName, match="no environment of stage 'srl' 'lats'. Did you mean"):
        make_config(merged(given, {"stages": {"srl": {"envs": ["lats"]}}}))


def test_an_environment_has_its_own_reward(tree: dict[str, Any]) -> None:
    given = two(tree, episode={"reward_mode": "format"})
    config = make_config(given | {"budget": {"updates": 1}})
    check_inputs(config)
    result = train(config)
    (update,) = letters.updates(result.folder)
    assert update["reward/last"] == 1.0  # any text is in the form
    assert update["reward/first"] < 1.0
    with pytest.raises(UnknownName, match="formt"):
        check_inputs(make_config(merged(two_again(given), {})))


def two_again(given: dict[str, Any]) -> dict[str, Any]:
    """The same with a misspelled reward mode."""
    first, last = given["envs"]
    return given | {"envs": [first, merged(last, {"episode": {"reward_mode": "formt"}})]}


def test_an_evaluation_reports_each_environment_and_their_mean(tree: dict[str, Any]) -> None:
    given = two(tree) | {"budget": {"updates": 1}}
    given["envs"][1]["options"]["letters"] = "ab"  # the split "dev" has the other letters
    given["evaluation"] = {"every": 1, "problems": 2, "rollouts": 2, "max_tokens": 4}
    result = train(make_config(given))
    events = [row for row in letters.lines(result.folder) if row.get("event") == "evaluation"]
    for event in events:
        mean = (event["eval/pass@1/first"] + event["eval/pass@1/last"]) / 2
        assert event["eval/pass@1"] == pytest.approx(mean)
        assert event["eval/failures"] == 0
    assert result.best is not None


def test_demonstrations_keep_the_order_of_their_starts(tree: dict[str, Any], base: Path) -> None:
    from srl_agents.policies import TransformersPolicy

    environments = Environments(make_config(two(tree)))
    policy = TransformersPolicy.from_pretrained(str(base), device="cpu")
    points = [StartPoint(0, env="last"), StartPoint(1, env="first"), StartPoint(1, env="last")]
    request = DemonstrationRequest("step", thoughts=False, aggregation="token")
    batch = environments.demonstrations(policy, points, request, 0)
    for number, point in enumerate(points):
        alone = environments.demonstrations(policy, [point], request, 0)
        assert batch.prompts[number] == alone.prompts[0]
        assert batch.completions[number] == alone.completions[0]
    assert len(set(batch.completions)) == 3
    assert batch.weights.sum() == pytest.approx(batch.weights[0] * 3)
    environments.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env": {"id": "x"}}, "env and envs: give one of them"),
        ({"envs": [{"id": "x"}, {"id": "x"}]}, r"names that differ; got \['x', 'x'\]. Fix"),
        ({"envs": []}, r"^env is missing .* or pass --env ID"),
        ({"envs": [{"id": "x", "weight": 0}]}, r"envs\.0\.weight must be greater than 0"),
        ({"envs": [{"id": "x", "episode": {"max_steps": 0}}]}, r"envs\.0\.episode\.max_steps"),
    ],
)
def test_environments_that_cannot_work_are_refused(
    tree: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadOption, match=message):
        make_config(two(tree) | changes)

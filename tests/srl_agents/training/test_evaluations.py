"""Evaluations during a run: when they are made, what they keep, and that they change nothing."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from srl_agents.evaluation.scoring import EvalResult
from srl_agents.methods.budget import Usage
from srl_agents.parallel.team import ALONE
from srl_agents.policies.named import read_spec
from srl_agents.runs.checkpoint import checkpoints
from srl_agents.runs.config import RunConfig, make_config
from srl_agents.runs.history import training_runs
from srl_agents.runs.settings import merged
from srl_agents.training import evaluations
from srl_agents.training.evaluations import Evaluations
from srl_agents.training.run import train
from srl_agents.training.stage_clock import Evaluated, Position
from srl_agents.view.sources import find_runs, run_series
from srl_env.errors import BadOption
from tests.srl_agents.letters import lines

TIMED = ("time/", "tokens_per_s/", "seconds")
SMALL = {"problems": 1, "rollouts": 2, "every": 2}


@pytest.fixture
def tree(tree: dict[str, Any]) -> dict[str, Any]:
    """A run on three letters; the fourth is the split dev."""
    return merged(tree, {"env": {"options": {"letters": "abc"}}})


def configured(tree: dict[str, Any], out: Path | None = None, **settings: Any) -> RunConfig:
    changes: dict[str, Any] = {"evaluation": {**SMALL, **settings}}
    return make_config(merged(tree, changes | ({"out": str(out)} if out else {})))


def rows(folder: Path, evaluations: bool = True) -> list[dict[str, Any]]:
    """The log without what depends on the clock."""
    return [
        {name: value for name, value in line.items() if not name.startswith(TIMED)}
        for line in lines(folder)
        if evaluations or line.get("event") != "evaluation"
    ]


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The scores of the coming evaluations; None where every episode fails."""
    coming: list[float | None] = []

    def evaluate(*_: Any, **__: Any) -> EvalResult:
        value = coming.pop(0)
        scores = {} if value is None else {"pass@1": (value,)}
        failures = {"WorldFailure": 2} if value is None else {}
        return EvalResult("p", "e", "letters", ("d",), scores, 2, failures, {}, 0.0)

    monkeypatch.setattr(evaluations, "evaluate", evaluate)
    return coming


def test_a_run_is_the_same_to_the_bit_with_and_without_evaluations(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    tree = merged(tree, {"method": "srl-rlvr"})
    tree["stages"] = {"srl": {"until": {"informative": 1.0, "probe_every": 1, "probe_groups": 2}}}
    train(make_config(merged(tree, {"out": str(tmp_path / "a")})))
    train(configured(tree, tmp_path / "b", every=1, similarity=True, greedy=True))
    assert rows(tmp_path / "a") == rows(tmp_path / "b", evaluations=False)
    assert weights(tmp_path / "a" / "model") == weights(tmp_path / "b" / "model")
    made = [row for row in rows(tmp_path / "b") if row.get("event") == "evaluation"]
    assert [row["update"] for row in made] == list(range(7))
    assert {"eval/pass@1", "eval/pass@2", "eval/greedy", "eval/similarity"} <= made[0].keys()


def test_the_model_is_evaluated_before_the_first_update_at_intervals_and_at_the_end(
    tree: dict[str, Any],
) -> None:
    result = train(configured(tree, every=4))
    made = [row["update"] for row in lines(result.folder) if row.get("event") == "evaluation"]
    assert made == [0, 4, 6]


def test_the_best_model_is_kept_beside_the_last(
    tree: dict[str, Any], scripted: list[float | None]
) -> None:
    scripted += [0.1, 0.3, 0.3, 0.2]
    result = train(configured(merged(tree, {"checkpoint": {"keep": 9}}), every=2))
    assert result.best == result.folder / "best"
    at_2 = next(p for p in checkpoints(result.folder / "checkpoints") if p.name == "update-000002")
    assert weights(result.best) == weights(at_2)
    assert weights(result.best) != weights(result.folder / "model")
    said = [row["reason"] for row in lines(result.folder) if row.get("event") == "evaluation"]
    assert said == [
        "pass@1 is 0.1000 on letters, the best so far",
        "pass@1 is 0.3000 on letters, the best so far",
        "pass@1 is 0.3000 on letters; the best is 0.3000",
        "pass@1 is 0.2000 on letters; the best is 0.3000",
    ]


def test_the_best_model_is_a_policy_whose_training_is_known(tree: dict[str, Any]) -> None:
    result = train(configured(tree))
    spec = read_spec(str(result.best))
    assert spec.model == str(result.best)
    assert [run.out for run in training_runs(str(result.best))] == [tree["out"]]


def test_the_best_model_of_adapters_is_whole_and_the_run_continues_with_them(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    tree = merged(tree, {"model": {"lora": {"rank": 4}}})
    train(make_config(merged(tree, {"out": str(tmp_path / "a")})))
    result = train(configured(tree, tmp_path / "b"))
    assert result.best is not None
    assert not (result.best / "adapter_config.json").exists()
    assert weights(tmp_path / "a" / "model") == weights(tmp_path / "b" / "model")


def test_evaluations_in_a_row_without_a_new_best_end_the_run(tree: dict[str, Any]) -> None:
    result = train(configured(tree, every=1, metric="format", patience=2))  # format is always 1
    assert result.usage.updates == 2
    why = "2 evaluations without a better format than 1.0000"
    assert result.stages == (("srl", why),)
    assert result.best is not None
    again = train(configured(tree, every=1, metric="format", patience=2), resume=True)
    assert again.usage.updates == 2


def test_patience_is_that_of_a_stage(tree: dict[str, Any]) -> None:
    tree = merged(tree, {"method": "srl-rlvr"})
    result = train(configured(tree, every=1, metric="format", patience=1))
    assert [name for name, _ in result.stages] == ["srl", "rlvr"]
    assert result.usage.updates == 2


def test_an_evaluation_of_failures_alone_is_no_score(
    tree: dict[str, Any], scripted: list[float | None]
) -> None:
    scripted += [0.5, None, None, 0.6]
    result = train(configured(tree, every=2, patience=1))
    assert result.usage.updates == 6
    made = [row for row in lines(result.folder) if row.get("event") == "evaluation"]
    assert [row.get("eval/pass@1") for row in made] == [0.5, None, None, 0.6]
    assert made[1]["reason"] == "every episode failed: {'WorldFailure': 2}"


@pytest.mark.parametrize(
    ("scores", "ends"),
    [
        ([0.2, 0.1], False),
        ([0.2, 0.1, 0.2], True),  # as good is not better
        ([0.2, 0.1, 0.3], False),
        ([0.2, 0.1, None, 0.1], True),
        ([0.2, None, None], False),
    ],
)
def test_patience_counts_scores_since_the_best(
    scores: list[float | None], ends: bool, tree: dict[str, Any]
) -> None:
    made = [Evaluated(update, 0.0, score) for update, score in enumerate(scores)]
    reason = Evaluations(configured(tree, patience=2), ALONE).stage_end_reason(
        Position(evaluations=made)
    )
    assert (reason is not None) == ends


@pytest.mark.parametrize(("seconds", "due"), [(9.9, False), (10.0, True), (35.0, True)])
def test_seconds_of_training_can_be_the_interval(
    seconds: float, due: bool, tree: dict[str, Any]
) -> None:
    settings = configured(tree, every=None, every_s=10)
    position = Position(Usage(5, seconds), evaluations=[Evaluated(2, 3.0, 0.1)])
    assert Evaluations(settings, ALONE).due(position) == due


class Killed(Exception):
    """The end of a run at any moment."""


def test_a_killed_run_evaluates_after_the_same_updates_with_the_same_scores(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"every": 3, "metric": "similarity", "similarity": True}
    train(configured(tree, tmp_path / "whole", **settings))
    killed = configured(tree, tmp_path / "killed", **settings)
    evaluate, moments = evaluations.evaluate, count(1)
    kills = [3, 6, 9, 12, 15]  # after the updates 2, 3, 4, 6, and in the last evaluation

    def may_be_killed(_: object = None) -> None:
        if next(moments) in kills:
            raise Killed

    def evaluated(*arguments: Any, **options: Any) -> EvalResult:
        result = evaluate(*arguments, **options)
        may_be_killed()
        return result

    monkeypatch.setattr(evaluations, "evaluate", evaluated)
    for _ in kills:
        with pytest.raises(Killed):
            train(killed, resume=True, on_progress=may_be_killed)
    assert train(killed, resume=True).finished
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    for name in ("best", "model"):
        assert weights(tmp_path / "killed" / name) == weights(tmp_path / "whole" / name)


def test_the_viewer_draws_the_evaluations(
    tree: dict[str, Any], scripted: list[float | None]
) -> None:
    scripted += [0.1, 0.3, None, 0.2]
    (run,) = find_runs([train(configured(tree)).folder])
    found = run_series(run, "dev", "update")
    assert found is not None
    assert (found.x.tolist(), found.y.tolist()) == ([0, 2, 6], [0.1, 0.3, 0.2])
    assert run.notes == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every": None}, "evaluation: give exactly one of every .* got neither"),
        ({"every_s": 5}, "evaluation: give exactly one of every .* got both"),
        ({"metric": "pass@3"}, "evaluation: metric must be .* pass@1, pass@2, .* got 'pass@3'"),
        ({"metric": "greedy"}, "evaluation: metric must be .* got 'greedy'"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    settings: dict[str, Any], message: str, tree: dict[str, Any]
) -> None:
    with pytest.raises(BadOption, match=message):
        configured(tree, **settings)


@pytest.mark.parametrize(
    ("letters", "split", "message"),
    [("abc", "train", "1 of the 1 problems were trained on in this run"), ("abcd", "dev", "none")],
)
def test_a_split_that_is_trained_on_or_empty_leaves_no_folder(
    letters: str, split: str, message: str, tree: dict[str, Any], tmp_path: Path
) -> None:
    tree = merged(tree, {"env": {"options": {"letters": letters}}})
    with pytest.raises(BadOption, match=rf"^evaluation\.split is '{split}': .*{message}"):
        train(configured(tree, tmp_path / "out", split=split))
    assert not (tmp_path / "out").exists()


def test_a_score_that_the_environment_lacks_is_named_before_the_first_update(
    tree: dict[str, Any], scripted: list[float | None]
) -> None:
    scripted += [0.1]
    with pytest.raises(BadOption, match=r"metric must be a score that .* \(pass@1\); got 'legal'"):
        train(configured(tree, metric="legal"))

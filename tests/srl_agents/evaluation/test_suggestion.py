"""Which method is suggested: each rule, and the facts that rules are about."""

from __future__ import annotations

import re
from dataclasses import replace
from math import nan
from pathlib import Path

import pytest

import srl_env
from srl_agents.evaluation import suggestion
from srl_agents.evaluation.contrasts import Comparison, RunOutcome
from srl_agents.evaluation.plan import Kind
from srl_agents.evaluation.scoring import EvalResult
from srl_agents.evaluation.suggestion import (
    DataFacts,
    Evidence,
    Probe,
    data_facts,
    evidence_of,
    probe_of,
    read_problems,
    recommend,
)
from srl_agents.methods.shipped import methods
from srl_agents.runs.config import make_config
from srl_agents.runs.settings import with_overrides
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption
from srl_env.policy import Generation
from srl_env.rollout import Episode, Step

ACTIONS = DataFacts(problems=300, read=300, demonstrated=300, thoughts=0.0, answers=1.0, noise=0.0)
HARD = Probe(success=0.0, mixed=0.0, format=1.0, similarity=0.5, spread=0.3)

NONE = {"demonstrated": 0, "noise": None}
CASES = [
    ({}, {}, ("srl",)),
    ({"noise": None}, {}, ("srl",)),
    ({"demonstrated": 149}, {}, ("srl-rlvr",)),
    ({"noise": 0.05}, {}, ("srl-rlvr",)),
    ({}, {"mixed": 0.05}, ("srl-rlvr",)),
    ({}, {"success": 0.5}, ("rlvr",)),
    ({}, {"spread": 0.04}, ("superrl",)),
    ({}, {"format": 0.49}, ("form", "srl")),
    ({"thoughts": 0.9}, {}, ("sft-rlvr",)),
    ({"thoughts": 1.0, "answers": 0.0}, {}, ("sft",)),
    ({"answers": 0.0}, {"success": nan}, ("srl",)),
    (NONE, {"mixed": 0.05}, ("rlvr",)),
    (NONE, {"mixed": 0.0}, ()),
    (NONE, {"mixed": 0.0, "format": 0.0}, ()),
]


@pytest.mark.parametrize(("data", "probe", "expected"), CASES)
def test_the_first_rule_that_fits_decides(
    data: dict[str, float], probe: dict[str, float], expected: tuple[str, ...]
) -> None:
    found = recommend(replace(ACTIONS, **data), replace(HARD, **probe))  # type: ignore[arg-type]
    assert found.methods == expected
    assert found.why
    assert set(found.methods) <= set(methods())


@pytest.mark.parametrize(("data", "probe", "expected"), CASES)
def test_a_run_takes_the_settings_that_are_suggested(
    data: dict[str, float], probe: dict[str, float], expected: tuple[str, ...]
) -> None:
    found = recommend(replace(ACTIONS, **data), replace(HARD, **probe))  # type: ignore[arg-type]
    given = [f"{key}={value}" for key, value in found.settings.items()]
    tree = {
        "out": "runs/x",
        "method": list(found.methods) or "rlvr",
        "env": {"id": "srl/ModularChain-v0"},
        "model": {"path": "m"},
        "budget": {"updates": 10},
    }
    make_config(with_overrides(tree, given))


def test_noisy_steps_without_a_verifier_are_learned_at_a_rate_that_falls() -> None:
    found = recommend(replace(ACTIONS, answers=0.0, noise=0.3), HARD)
    assert found.settings == {"stages.srl.schedule": "cosine"}
    assert len(found.why) == len(found.evidence) == 2
    assert not recommend(replace(ACTIONS, answers=0.0), HARD).settings


def test_every_measurement_names_where_it_is_and_what_it_covers() -> None:
    for data, probe, _ in CASES:
        found = recommend(replace(ACTIONS, **data), replace(HARD, **probe))  # type: ignore[arg-type]
        for each in found.evidence:
            assert "docs/" in each.found
            assert "one base model" in each.scope or "tiny task" in each.scope


def test_data_with_neither_demonstrations_nor_answers_are_refused() -> None:
    with pytest.raises(BadOption, match="got neither. Fix:"):
        recommend(replace(ACTIONS, demonstrated=0, answers=0.0), HARD)


def facts(env: ReasoningEnv) -> DataFacts:
    return data_facts(env, read_problems(env))


def test_the_facts_are_those_of_the_problems_that_were_read() -> None:
    env = srl_env.make("srl/ModularChain-v0", difficulty=3, max_problems=40, demonstrated=10)
    assert facts(env.unwrapped) == DataFacts(40, 40, 10, thoughts=1.0, answers=1.0, noise=0.0)
    hidden = srl_env.make("srl/ModularChain-v0", max_problems=5, hide_thoughts=True)
    assert facts(hidden.unwrapped).thoughts == 0.0


def test_noise_is_the_fraction_of_the_experts_steps_that_the_step_checker_rejects() -> None:
    env = srl_env.make("srl/ModularChain-v0", difficulty=4, max_problems=3, noise=1.0).unwrapped
    assert facts(env).noise == pytest.approx(4 / 5)  # all but the answer line


def episode(
    problem: str, *steps: tuple[float, bool], correct: bool = False, failed: bool = False
) -> Episode:
    made = [
        Step(
            messages=(),
            generation=Generation(""),
            action="",
            expert_action=None,
            index=number,
            reward=reward,
            reward_parts={"similarity": reward},
            format_ok=ok,
            legal=None,
            failure=None,
        )
        for number, (reward, ok) in enumerate(steps)
    ]
    return Episode(
        problem_id=problem,
        group=0,
        start_step=0,
        reward_mode="srl",
        continuation="expert",
        granularity="step",
        steps=tuple(made),
        verdict={"correct": correct},
        failure={"type": "VerifierTimeout"} if failed else None,
    )


def test_a_probe_counts_mixed_problems_and_steps_at_which_rewards_differ() -> None:
    episodes: dict[Kind, list[Episode]] = {
        "sampled": [
            episode("a", (0.0, True), correct=True),
            episode("a", (0.0, False)),
            episode("b", (0.0, True)),
            episode("b", (0.0, True), failed=True),
        ],
        "forced_sampled": [
            episode("a", (1.0, True), (0.5, True)),
            episode("a", (1.0, True), (0.1, True)),
        ],
    }
    found = probe_of(episodes)
    assert found.success == 0.25  # the mean over problems of 1/2 and 0
    assert found.mixed == 0.5
    assert found.format == pytest.approx(2 / 3)
    assert found.similarity == pytest.approx(2.6 / 4)
    assert found.spread == 0.5  # the second step of two


def test_a_probe_without_a_finished_rollout_is_no_probe() -> None:
    with pytest.raises(BadOption, match="VerifierTimeout ended all of them"):
        probe_of({"sampled": [episode("a", failed=True)]})


def run(method: str, *correct: float) -> RunOutcome:
    result = EvalResult("p", "e", "s", ("a", "b"), {"pass@1": correct}, 2, {}, {}, 0.0)
    return RunOutcome(method, 0, method, result=result)


def test_rows_of_a_comparison_are_evidence_for_the_methods_that_they_have() -> None:
    comparison = Comparison({}, (run("rlvr", 0.0, 0.0), run("srl", 1.0, 1.0)))
    (found,) = evidence_of(comparison, ["form", "srl"], "rows/words")
    assert found.found == "rows/words: srl 100.0 [100.0, 100.0] %, rlvr 0.0 [0.0, 0.0] %"
    assert "2 problems" in found.scope
    assert evidence_of(comparison, ["superrl"], "rows/words") == ()


@pytest.mark.parametrize(
    "name", [n for n, v in vars(suggestion).items() if isinstance(v, Evidence)]
)
def test_every_percentage_of_the_evidence_stands_on_the_page_that_it_names(name: str) -> None:
    found = getattr(suggestion, name).found
    (page,) = re.findall(r"\((docs/\S+\.md)\)", found)
    text = (Path(__file__).parents[3] / page).read_text(encoding="utf-8")
    for listed in re.findall(r"((?:[\d.]+(?:, | and ))*[\d.]+) %", found):
        for number in re.findall(r"[\d.]+", listed):
            assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d]|\.\d)", text), number

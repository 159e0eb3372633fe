"""The objective "form": what is imitated, by hand, and a whole run that learns a format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import srl_env
from srl_agents.collection.examples import written
from srl_agents.objectives.batch import Batch
from srl_agents.objectives.form import Form
from srl_agents.objectives.groups import groups_of
from srl_agents.objectives.requests import Collected
from srl_agents.runs.config import make_config
from srl_agents.training.run import train
from srl_env.policy import Generation
from srl_env.rollout import Episode, Step
from srl_env.text.format import ParsedStep, ThinkTags
from tests.srl_agents import letters

torch = pytest.importorskip("torch")


def sample(group: int, ids: tuple[int, ...], ok: bool = True, finish: Any = "stop") -> Episode:
    generation = Generation("x", ids, prompt_ids=(group,), finish_reason=finish)
    step = Step((), generation, "x", 0, 1.0, {}, ok, None, None)
    return Episode(f"p{group}", 0, "srl", "expert", "step", (step,), None, None, group)


class Found:
    """A source of given episodes, which notes the samples that need an example."""

    def __init__(self, episodes: Sequence[Episode], examples: Batch | None) -> None:
        self.collected = Collected(4, episodes=list(episodes))
        self.given, self.asked = examples, list[str]()

    def sample(self, request: Any) -> Collected:
        return self.collected

    def demonstrate(self, request: Any) -> Collected:
        raise AssertionError

    def examples(self, samples: Sequence[tuple[Episode, Step]], room: int) -> Batch | None:
        self.asked = [f"{episode.problem_id} {room}" for episode, _ in samples]
        return self.given


EPISODES = (
    sample(0, (5, 6), ok=False),
    sample(0, (7, 8, 9)),
    sample(0, (1,)),
    sample(1, (2, 3), finish="length"),
    sample(2, (4,), ok=False),
    replace(sample(3, (4,)), failure={"type": "F", "message": ""}),
)
WRITTEN = Batch(((1,), (2,)), ((50, 51, 52), (60,)), torch.ones(2), torch.ones(2))


def test_the_first_good_sample_of_a_start_is_imitated_and_else_an_example() -> None:
    source = Found(EPISODES, WRITTEN)
    collected = Form(max_tokens=10).collect(source)
    assert source.asked == ["p1 5", "p2 5"]
    data = Form().training_batches(collected, batch=4, max_steps=1)
    assert data is not None
    (batch,) = data.batches
    assert batch.prompts == ((0,), (1,), (2,))
    assert batch.completions == ((7, 8, 9), (50, 51, 52), (60,))
    assert batch.weights.tolist() == pytest.approx([1 / 7] * 3)  # aggregation "token": 7 tokens
    assert data.fraction == 0.75


def test_a_group_with_a_completion_to_imitate_counts_as_informative() -> None:
    expert = replace(EPISODES[3].steps[0], expert_action="2")
    episodes = (*EPISODES[:3], replace(EPISODES[3], steps=(expert,)), *EPISODES[4:]) * 2
    for examples, fraction in ((True, 1 / 2), (False, 1 / 4)):
        source = Found(episodes, WRITTEN)
        source.collected.groups = groups_of(episodes)
        form = Form(examples=examples)
        collected = form.collect(source)
        numbers = collected.metrics()
        assert numbers["groups/informative_fraction"] == fraction
        assert numbers["groups/trained"] == 4 * fraction
        assert {place: s.outcome for place, s in form.signals(collected).items()} == {
            (1, 0): "trained",
            (7, 0): "trained",  # the same sample again
        }


def test_without_examples_only_samples_are_imitated() -> None:
    source = Found(EPISODES, WRITTEN)
    collected = Form(examples=False).collect(source)
    assert source.asked == []
    data = Form().training_batches(collected, batch=4, max_steps=1)
    assert data is not None
    assert data.batches[0].completions == ((7, 8, 9),)
    nothing = Form(examples=False).collect(Found(EPISODES[3:], None))
    assert Form().training_batches(nothing, batch=4, max_steps=1) is None
    assert Form().score({"format_fraction": 0.25}) == 0.25
    assert "No sample kept the format" in Form().why_untrained([{}], "tags")


def test_a_sample_with_an_empty_thought_gives_way_to_an_example() -> None:
    def thinking(group: int, text: str, expert: str | None) -> Episode:
        made = sample(group, (5,))
        generation = replace(made.steps[0].generation, text=text)
        step = replace(made.steps[0], generation=generation, expert_action=expert)
        return replace(made, steps=(step,))

    episodes = [
        thinking(0, "<think> </think>\n2", "2"),
        thinking(0, "<think>so</think>\n2", "2"),
        thinking(1, "<think></think>\n2", "2"),
        thinking(2, "<think></think>\n2", None),
    ]
    source = Found(episodes, WRITTEN)
    collected = Form(max_tokens=10).collect(source)
    assert source.asked == ["p1 5"]
    data = Form().training_batches(collected, batch=4, max_steps=1)
    assert data is not None
    assert data.batches[0].prompts == ((0,), (2,), (1,), (2,))  # two samples, two examples


def broken(env: Any, text: str, tokens: int = 4) -> tuple[Episode, Step]:
    action = env.problems[0].trajectories[0].actions[0]
    generation = Generation(text, tuple(range(tokens)))
    step = Step((), generation, text, 0, -1.0, {}, False, None, None, expert_action=action)
    steps = (step,)
    return Episode(env.problems[0].id, 0, "srl", "expert", "step", steps, None, None, 0), step


def test_the_policy_s_own_words_become_the_thought_that_the_format_asks_for() -> None:
    env: Any = srl_env.make("srl/GSM8K-v0", source="sample", format="think").unwrapped
    action = env.problems[0].trajectories[0].actions[0]
    own = written(env, *broken(env, "one two three four", tokens=4), room=2)
    assert own == f"<think>one two</think>\n{action}"  # half of the text, to the end of a word
    assert written(env, *broken(env, "one two", tokens=2), room=2) == own
    assert written(env, *broken(env, "", tokens=1), room=2) == f"<think></think>\n{action}"
    open_ = broken(env, "<think>one two", tokens=2)
    assert written(env, *open_, room=2) == f"<think>one two</think>\n{action}"
    episode, step = broken(env, "one")
    assert written(env, episode, replace(step, expert_action=None), room=2) is None


def test_a_recorded_thought_is_used_and_none_is_made_up_where_none_is_asked_for() -> None:
    shop: Any = srl_env.make("srl/ToolShop-v0").unwrapped
    first = shop.problems[0].trajectories[0].steps[0]
    assert written(shop, *broken(shop, "Let me see."), room=9) == shop.format.render(first)
    optional: Any = srl_env.make("srl/GSM8K-v0", source="sample", format="lines").unwrapped
    action = optional.problems[0].trajectories[0].actions[0]
    assert written(optional, *broken(optional, "<think>", tokens=1), room=9) == action


@dataclass(frozen=True)
class Alike(ThinkTags):
    """A form that a random model hardly ever keeps: one letter, at least twice."""

    instructions = ""

    def parse(self, text: str) -> ParsedStep:
        body = text.strip()
        kept = len(body) > 1 and len(set(body)) == 1
        return ParsedStep(None, body, kept, None if kept else "several equal letters")

    def render(self, step: Any) -> str:
        return str(step.action)


def tree(base: Path, out: Path, **changes: Any) -> dict[str, Any]:
    tree = letters.settings(base, out)
    tree["env"] = {"id": letters.__file__, "options": {"format": f"{__name__}:Alike"}}
    objective = {"max_tokens": 5}
    return tree | {"method": "form", "train": {"lr": 1e-2, "batch": 8, "objective": objective}}


def test_a_model_learns_the_form_and_the_stage_ends(base: Path, tmp_path: Path) -> None:
    config = make_config(tree(base, tmp_path / "form") | {"budget": {"updates": 100}})
    result = train(config)
    made = letters.updates(tmp_path / "form")
    assert made[0]["format_fraction"] <= 0.5
    assert made[-1]["format_fraction"] >= 0.8
    ((stage, reason),) = result.stages
    assert stage == "form"
    assert "over the last 2 updates, at least 0.9" in reason
    assert all(update["tokens/train"] > 0 for update in made)  # counted in the budget
    assert "the fraction of samples in the format" in config.resolved_method.summary(made)


def test_methods_follow_each_other(base: Path, tmp_path: Path) -> None:
    given = tree(base, tmp_path) | {"method": ["form", "srl"], "budget": {"updates": 4}}
    given |= {"stages": {"form": {"until": {"updates": 1}}}}
    result = train(make_config(given))
    assert [name for name, _ in result.stages] == ["form", "srl"]
    assert [update["stage"] for update in letters.updates(tmp_path)] == ["form", *["srl"] * 3]


def test_a_resumed_stage_is_the_same(base: Path, tmp_path: Path) -> None:
    whole, short = (tree(base, tmp_path / name) for name in ("whole", "short"))
    train(make_config(whole | {"budget": {"updates": 4}}))
    train(make_config(short | {"budget": {"updates": 2}}))
    train(make_config(short | {"budget": {"updates": 4}}), resume=True)
    assert numbers(tmp_path / "short") == numbers(tmp_path / "whole")


def numbers(folder: Path) -> list[dict[str, Any]]:
    times = ("time", "tokens_per_s", "seconds")
    return [
        {name: value for name, value in row.items() if not name.startswith(times)}
        for row in letters.updates(folder)
    ]

"""TRL's contract, with a trainer that says what it is told; numbers by hand."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from srl_agents.integrations import RowsDropped, StepRewardsSpread, TRLTask
from srl_agents.integrations.trl.sampling import TRLSampler
from srl_agents.models.small import EOS, character_tokenizer
from srl_agents.policies.tokens import tokens_to_stop
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, WorldFailure
from srl_env.policy import Sampling
from srl_env.testing import CountingEnv, SlowWorldEnv
from srl_env.text.format import ParsedStep, ThinkTags
from srl_env.text.prompt import PromptStyle

pytest.importorskip("datasets")

ALPHABET = "".join(chr(code) for code in range(32, 127)) + "\n"


class Trainer:
    """As much of a ``GRPOTrainer`` as an adapter may touch; its model says a script."""

    def __init__(self, *said: str, rewards: Sequence[Any] = (), **settings: Any) -> None:
        self.said, self.processing_class = list(said), character_tokenizer(ALPHABET)
        self.prompts: list[list[int]] = []
        self.reward_funcs = list(rewards)
        self.temperature, self.max_completion_length = 1.0, 40
        self.mask_truncated_completions = False
        self.model = SimpleNamespace(generation_config=None)
        self.__dict__ |= settings

    def _generate_single_turn(
        self, prompts: list[list[int]], images: None, fields: dict[str, Any], count: int
    ) -> tuple[list[list[int]], None]:
        assert (images, fields, count) == (None, {}, 1)
        self.prompts += prompts
        texts = [self.said.pop(0) for _ in prompts]
        return [self.processing_class(text)["input_ids"] for text in texts], None

    def ids(self, text: str) -> list[int]:
        found: list[int] = self.processing_class(text)["input_ids"]
        return found


class Plain(ThinkTags):
    """All of a completion is the action; nothing is said about that."""

    instructions = ""

    def parse(self, text: str) -> ParsedStep:
        return ThinkTags(require_thought=False).parse(text)


class Semicolon(Plain):
    """Actions end with a semicolon."""

    stop = (";",)


class Spoken(SlowWorldEnv):
    """Takes no notice of the semicolons."""

    def judge(self, actions: Sequence[str]) -> Any:
        return super().judge([action.rstrip(";") for action in actions])


def bare() -> ReasoningEnv:
    return CountingEnv(style=PromptStyle.bare(), format=Plain())


def spoken() -> ReasoningEnv:
    return Spoken(style=PromptStyle.bare(), format=Semicolon())


def run(task: TRLTask, prompts: Sequence[Any], *said: str, **settings: Any) -> dict[str, Any]:
    return task.rollout(prompts, Trainer(*said, rewards=[task.reward], **settings))


def prompts_of(task: TRLTask, *rows: int) -> list[Any]:
    return [task.dataset()[row]["prompt"] for row in rows]


def test_the_data_set_has_a_row_for_each_step_with_what_it_takes_to_begin_there() -> None:
    dataset = TRLTask(CountingEnv).dataset()
    assert dataset.column_names == ["prompt", "problem", "problem_id", "start_step", "seed"]
    assert len(dataset) == 2 + 3 + 4
    assert dataset["start_step"] == [0, 1, 0, 1, 2, 0, 1, 2, 3]
    assert dataset[1]["prompt"][-1]["content"].endswith("Solution so far:\nsay 1")
    plain = TRLTask(bare).dataset(chat=False)
    assert plain["prompt"][:3] == [
        "Count to 2, then add up.",
        "Count to 2, then add up.say 1",
        "Count to 3, then add up.",
    ]


def test_a_rollout_pays_each_row_its_own_step() -> None:
    task = TRLTask(bare)
    prompts = prompts_of(task, 0, 0, 1, 1)
    said = "say 1", "say 2", "say 2", "the sum=3!"
    out = run(task, prompts, *(text + EOS for text in said))
    assert out["srl_reward"][0] == out["srl_reward"][2] == 1.0
    assert out["srl_reward"][1] == pytest.approx(8 / 10)  # "say " of "say 1" and "say 2"
    assert 0 < out["srl_reward"][3] < 0.5
    assert out["srl_failure"] == [None] * 4
    rewards = task.reward(prompts, [], [], **{k: out[k] for k in out if k.startswith("srl_")})
    assert rewards == out["srl_reward"]


def test_token_ids_are_those_that_were_sampled() -> None:
    task = TRLTask(bare)
    trainer = Trainer("say 1" + EOS, rewards=[task.reward])
    out = task.rollout(prompts_of(task, 0), trainer)
    assert out["prompt_ids"] == trainer.prompts == [trainer.ids("Count to 2, then add up.")]
    assert out["completion_ids"] == [trainer.ids("say 1" + EOS)]
    assert out["env_mask"] == [[1] * 6]
    assert out["logprobs"] is None  # TRL computes them itself


def test_prompts_may_be_text() -> None:
    task = TRLTask(bare)
    out = run(task, ["Count to 2, then add up.say 1"], "say 2" + EOS)
    assert out["srl_reward"] == [1.0]
    with pytest.raises(BadOption, match="the prompt must be a row of the task"):
        run(task, ["Count to 9."], "say 2")


def test_what_comes_after_a_stop_string_is_cut_off_by_tokens() -> None:
    task = chain(problems=1)
    out = run(task, prompts_of(task, 0), "(a)b=3;c=4;")
    tokenizer = Trainer().processing_class
    assert tokenizer.decode(out["completion_ids"][0]) == "(a)b=3;"
    assert out["env_mask"] == [[1] * 7]


def chain(**settings: Any) -> TRLTask:
    return TRLTask("srl/ModularChain-v0", targets="all", difficulty=3, **settings)


@pytest.mark.parametrize(
    ("text", "stop", "kept"),
    [("ab;cd", (";",), 3), ("abcd", (";",), 4), (";", (";",), 1), ("ab;c#", ("#", ";"), 3)],
)
def test_the_fewest_tokens_are_kept_that_hold_a_stop_string(
    text: str, stop: tuple[str, ...], kept: int
) -> None:
    ids = [ord(letter) for letter in text]
    assert tokens_to_stop(ids, stop, lambda part: "".join(map(chr, part))) == kept


def test_an_episode_of_several_steps_is_one_row_with_the_environment_masked() -> None:
    task = TRLTask(spoken, "rlvr", granularity="step", problems=1, max_steps=4)
    trainer = Trainer("say 1;xx", "say 2;", "the sum=3!;", rewards=[task.reward])
    out = task.rollout(prompts_of(task, 0), trainer)
    text = trainer.processing_class.decode(out["completion_ids"][0])
    assert text == "say 1;1 saidsay 2;2 saidthe sum=3!;"
    mask = "".join(map(str, out["env_mask"][0]))
    assert mask == "1" * 6 + "0" * 6 + "1" * 6 + "0" * 6 + "1" * 11
    assert (out["srl_reward"], out["srl_correct"]) == ([1.0], [True])


def test_a_failure_of_ours_has_no_reward_and_no_token_that_is_trained_on() -> None:
    task = failing("rlvr")
    prompts = prompts_of(task, 0, 0, 1)
    out = run(task, prompts, "nothing" + EOS, "the sum=3!" + EOS, "say 1" + EOS)
    assert out["srl_reward"] == [0.0, None, 0.0]
    assert out["srl_failure"] == [None, "WorldFailure", None]
    assert out["env_mask"][1] == [0]
    assert len(out["completion_ids"][1]) == 1
    assert out["prompt_ids"][1] == out["prompt_ids"][0]
    assert task.failures == {"WorldFailure": 1}
    logged: dict[str, float] = {}
    rewards = task.reward(prompts, [], log_metric=logged.__setitem__, **out)
    assert rewards == [0.0, None, 0.0]
    assert logged == {"srl/correct": 0.0, "srl/failures": 1.0}


class FailsOnSums(CountingEnv):
    """A judge that dies of right answers."""

    def judge(self, actions: Sequence[str]) -> Any:
        if "sum=" in actions[-1]:
            raise WorldFailure("no sums today")
        return super().judge(actions)


def failing(mode: str, **settings: Any) -> TRLTask:
    return TRLTask(lambda: FailsOnSums(style=PromptStyle.bare(), format=Plain()), mode, **settings)


def test_a_batch_in_which_everything_failed_stops_the_training() -> None:
    task = failing("rlvr")
    with pytest.raises(WorldFailure, match="all 2 episodes of a batch failed.*no sums today"):
        run(task, prompts_of(task, 0, 1), "the sum=3!", "the sum=6!")


def test_other_reward_functions_are_kept_from_paying_failed_rows() -> None:
    task = failing("rlvr")

    def length(prompts: Sequence[Any], **columns: Any) -> list[float]:
        return [1.0] * len(prompts)

    prompts = prompts_of(task, 0, 1)
    said = "the sum=3!" + EOS, "say 1" + EOS
    with pytest.warns(RowsDropped, match="1 of 2 episodes failed. TRL gives such a row"):
        task.rollout(prompts, Trainer(*said, rewards=[task.reward, length]))
    guarded = task.unless_failed(length)
    out = task.rollout(prompts, Trainer(*said, rewards=[task.reward, guarded]))
    assert guarded(prompts=prompts, **out) == [None, 1.0]
    assert guarded.__name__ == "length"

    async def later(prompts: Sequence[Any], **columns: Any) -> list[float]:
        return []

    with pytest.raises(BadOption, match="a plain function"):
        task.unless_failed(later)  # type: ignore[arg-type]


def test_summed_rewards_of_steps_are_told_of_loudly() -> None:
    task = TRLTask(spoken, "hybrid", granularity="step", problems=1)
    with pytest.warns(
        StepRewardsSpread, match="up to 3 steps of an episode were rewarded; TRL has"
    ):
        out = run(task, prompts_of(task, 0), "say 1;", "say 2;", "the sum=3!;")
    assert out["srl_reward"][0] > 1.5
    with pytest.raises(BadOption, match="spread the sum"):
        TRLTask(CountingEnv, "srl", each="problem")


def test_rows_that_hold_only_the_beginning_of_their_episode_are_told_of() -> None:
    """The end-of-text token is in no later prompt, so the second step is another context."""
    task = TRLTask(bare, "rlvr", granularity="step")
    said = "say 1" + EOS, "say 1", "the sum=3!", "the sum=3!"
    with pytest.warns(RowsDropped, match="1 of 2 episodes of several steps are trained on only"):
        out = run(task, prompts_of(task, 0, 0), *said)
    assert [len(mask) for mask in out["env_mask"]] == [6, 5 + 10]
    with pytest.raises(BadOption, match="fits into one row of TRL beyond its first steps"):
        run(task, prompts_of(task, 0), "say 1" + EOS, "the sum=3!" + EOS)


def test_without_a_rollout_the_completions_that_trl_sampled_are_paid() -> None:
    task = TRLTask(CountingEnv)
    columns = {name: task.dataset()[name][:3] for name in ("problem", "start_step", "seed")}
    said = ["<think>hm</think>say 1", "say 2", "<think></think>say 1"]
    chats: list[Any] = [[{"role": "assistant", "content": text}] for text in said]
    assert task.reward(prompts_of(task, 0, 1, 2), chats, **columns) == [1.0, -1.0, 1.0]
    assert task.reward(prompts_of(task, 0, 1, 2), said, **columns) == [1.0, -1.0, 1.0]
    chats[1] = [{"role": "assistant", "content": "say 2", "reasoning_content": "1, 2"}]
    assert task.reward(prompts_of(task, 0, 1, 2), chats, **columns) == [1.0, 1.0, 1.0]


def test_without_a_rollout_failures_have_no_reward_either() -> None:
    task = failing("rlvr")
    columns = {name: task.dataset()[name] for name in ("problem", "start_step", "seed")}
    said = ["say 1", "the sum=6!", ""]
    assert task.reward(prompts_of(task, 0, 1, 2), said, **columns) == [0.0, None, 0.0]
    assert task.failures == {"WorldFailure": 1}


def test_where_a_rollout_is_needed_the_reward_says_so() -> None:
    with pytest.raises(BadOption, match="more than one completion"):
        TRLTask(CountingEnv, "rlvr", granularity="step").reward([], [])
    with pytest.raises(BadOption, match="steps end with a stop string"):
        chain(problems=1).reward([], [])
    with pytest.raises(BadOption, match=r"lacks \['problem', 'seed', 'start_step'\]"):
        TRLTask(CountingEnv).reward(["hm"], ["hm"])


def test_settings_that_would_train_on_nothing_are_refused() -> None:
    task = chain(problems=1)
    with pytest.raises(BadOption, match="needs reward_funcs=task.reward"):
        task.rollout(prompts_of(task, 0), Trainer("b=3;"))
    with pytest.raises(BadOption, match="would mask every step"):
        run(task, prompts_of(task, 0), "b=3;", mask_truncated_completions=True)
    with pytest.raises(BadOption, match="sampler must be 'trl' or 'own'"):
        chain(problems=1, sampler="vllm")


def test_our_own_sampler_refuses_settings_that_it_does_not_know() -> None:
    task = chain(problems=1, sampler="own")
    settings: dict[str, Any] = {
        "use_vllm": True,
        "use_transformers_continuous_batching": False,
        "top_p": 0.9,
        "top_k": 0,
        "min_p": None,
        "repetition_penalty": 1.0,
        "args": SimpleNamespace(generation_kwargs=None),
        "chat_template_kwargs": {},
        "is_fsdp_enabled": False,
        "is_deepspeed_enabled": False,
    }
    with pytest.raises(BadOption, match="the trainer has use_vllm, top_p. Fix: sampler='trl'"):
        run(task, prompts_of(task, 0), "b=3;", **settings)


def test_how_a_completion_ended_is_told() -> None:
    sampler = TRLSampler(Trainer("ab;cd", "ab;", "ab" + EOS, "ab"))
    batch: list[Any] = [[{"role": "user", "content": "x"}]] * 4
    made = sampler.generate(batch, Sampling(stop=(";",)))
    assert [g.finish_reason for g in made] == ["stop", "stop", "stop", "length"]
    assert [g.text for g in made] == ["ab;", "ab;", "ab", "ab"]

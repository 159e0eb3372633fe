"""Episodes as one sequence: only contexts in which tokens were really sampled."""

from __future__ import annotations

from srl_agents.integrations.transcript import Transcript, transcript
from srl_env.policy import Generation


def step(prompt: list[int], written: list[int], logprobs: tuple[float, ...] = ()) -> Generation:
    return Generation("", tuple(written), logprobs, tuple(prompt))


def test_one_step_is_its_prompt_and_its_completion() -> None:
    assert transcript([step([1, 2], [3], (-0.5,))]) == Transcript([1, 2], [3], [1], [-0.5], 1)


def test_what_the_environment_answered_is_masked() -> None:
    joined = transcript(
        [step([1, 2], [3, 4], (-0.1, -0.2)), step([1, 2, 3, 4, 8, 9], [5], (-0.3,))]
    )
    assert joined.completion_ids == [3, 4, 8, 9, 5]
    assert joined.mask == [1, 1, 0, 0, 1]
    assert joined.logprobs == [-0.1, -0.2, 0.0, 0.0, -0.3]
    assert joined.steps == 2


def test_the_sequence_ends_where_the_next_prompt_does_not_continue_it() -> None:
    stripped = step([1, 2, 4], [5])  # 3, a thought, is not in the history
    assert transcript([step([1, 2], [3, 4]), stripped]) == Transcript([1, 2], [3, 4], [1, 1], [], 1)


def test_steps_after_a_break_are_not_taken_up_again() -> None:
    joined = transcript([step([1], [2]), step([1, 9], [3]), step([1, 2, 7], [4])])
    assert (joined.completion_ids, joined.steps) == ([2], 1)


def test_log_probabilities_are_known_for_all_tokens_or_for_none() -> None:
    joined = transcript([step([1], [2], (-0.5,)), step([1, 2], [3])])
    assert (joined.completion_ids, joined.logprobs) == ([2, 3], [])

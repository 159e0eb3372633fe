"""The environment: a problem whose actions are reasoning steps.

``ReasoningEnv.step`` has two halves with the scoring between them: ``advance`` reads the
completion and moves the world, ``settle`` hands out the result. ``srl_env.episode.scoring`` runs
both for one environment or for thousands, with verdicts and rewards in batches; rewards are
in ``srl_env.rewards``, prompts in ``srl_env.text.prompt``. Neither the reward mode nor the verdict
changes what is observed or when an episode terminates.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from srl_env.episode.guards import (
    SET_BY_INIT,
    NotInitialised,
    check_parts,
    copied_world,
    read_legal,
    read_step,
)
from srl_env.episode.options import (
    CONTINUATIONS,
    GRANULARITIES,
    check_expert,
    choose_problem,
    read_choice,
    read_count,
    read_mode,
    read_options,
)
from srl_env.episode.scoring import attempted, finished, verdict_info
from srl_env.episode.state import EpisodeState, ResetResult, Snapshot, StepResult
from srl_env.episode.world import expert_turns, move
from srl_env.errors import BadOption, Failure
from srl_env.problem import ExpertStep, Problem, ProblemSource
from srl_env.rewards.record import Continuation, Granularity, Similarity, StepRecord, StepReward
from srl_env.rewards.registry import RewardMode
from srl_env.rewards.similarity import step_similarity
from srl_env.seconds import check_seconds
from srl_env.seeding import stream
from srl_env.text.format import CompletionFormat, ThinkTags
from srl_env.text.prompt import PromptStyle, Turn, make_opening, observation_text
from srl_env.text.spaces import AnyText
from srl_env.text.unicode import all_utf8_safe, utf8_safe
from srl_env.verifiers.protocol import Verdict, Verifier

T = TypeVar("T")


class ReasoningEnv(gymnasium.Env[str, str]):
    """Problems solved step by step in text; subclass it, or give it problems and a verifier.

    **Observation.** The prompt as one text: the task, the problem, the solution so far and what
    the world answered. ``info["messages"]`` is the same as chat messages. Always valid UTF-8.

    **Action.** Any text; the completion format takes the thought from it. Thoughts never enter
    the history.

    **Reward.** By the reward mode. NaN if the library failed (see below).

    **Episode end.** Continuation "expert" (after a step the expert's action enters the
    history): terminates after the expert's last step. Continuation "policy" (one's own action
    enters): terminates with ``is_final``. Granularity "solution": terminates after one action.
    Truncates after ``max_steps`` steps of this episode.

    **Options of reset**, for that episode only; an explicit one wins over the constructor's,
    and that over the reward mode's default: ``reward_mode`` (name or object), ``problem`` (id or
    index; else drawn), ``start_step`` (so many expert steps are already taken), ``continuation``,
    ``granularity``, ``max_steps``, ``copy`` (the episode's number, 0 if not given, among those
    that begin alike: random rewards are drawn apart by it, and nothing else differs).

    **Info.** ``problem_id``, ``step`` (how many steps of the solution are done, the given ones
    included), ``reward_mode``, ``reward_parts``, ``messages``; after a step ``action`` (without
    the thought), ``format_ok``, ``format_error`` (why the form is broken; None where it is kept),
    ``legal`` (None where there is no step checker); at the end ``verdict``, the verifier's in
    every mode, or None where the steps judged are the expert's (under continuation "expert",
    unless the only action ends the solution); on failure ``failure`` ({"type", "message"}) with
    reward NaN, truncated, and without a verdict.

    **Worlds.** An environment with a world overrides ``world_step``. Its state is ``self.world``,
    which each episode begins with as a copy of ``problem.metadata["world"]``; a world that begins
    otherwise overrides ``world_reset``, and one that cannot be copied ``world_state`` and
    ``world_restore``. Under continuation "expert" a trajectory whose observations are all
    recorded is replayed from the record, and the world is not even set up; otherwise the world
    takes the expert's actions.

    **Seeds.** Problem, trajectory and ``np_random`` come from
    ``stream(class name, source name, seed, episode)``; later resets without a seed count episodes.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 1}  # type: ignore[misc]
    granularities: ClassVar[tuple[Granularity, ...]] = GRANULARITIES
    """What one action may be. ("step",) where a solution cannot be written without the world's
    answers; a mode that is for whole solutions is then paid at the end of the steps."""
    slow_world: ClassVar[bool] = False
    """Whether the world or the judge mostly waits, so that many may be stepped in threads."""
    similarity: Similarity = step_similarity
    """How an action is compared with the expert's, (action, expert action) → [0, 1]; for the
    reward modes srl and hybrid. A subclass or the constructor may set another."""

    def __init__(
        self,
        problems: ProblemSource,
        verifier: Verifier,
        *,
        reward_mode: str | RewardMode = "srl",
        continuation: Continuation | None = None,
        granularity: Granularity | None = None,
        max_steps: int = 32,
        format: CompletionFormat = ThinkTags(),  # noqa: B008  # frozen
        style: PromptStyle = PromptStyle(),  # noqa: B008  # frozen
        show_titles: bool = False,
        similarity: Similarity | None = None,
        world_timeout_s: float | None = 60.0,
        render_mode: str | None = None,
    ) -> None:
        """show_titles: the title of the next step, where it has one, is part of the prompt.
        similarity: how actions are compared with the expert's, if not as the class says.
        world_timeout_s: how long one step of the world may take, None for any time; how it is
        interrupted, and what cannot be, says ``srl_env.time_limit``."""
        check_parts(type(self).__name__, problems, verifier, format, style)
        self.problems, self.verifier = problems, verifier
        self.format, self.style, self.show_titles = format, style, show_titles
        # Looked up on the class, where a function is not bound to anything.
        self.similarity = type(self).similarity if similarity is None else similarity
        self.render_mode = render_mode
        self.observation_space, self.action_space = AnyText(), AnyText()
        self._mode = read_mode(reward_mode)
        self._continuation = read_choice("continuation", continuation, CONTINUATIONS)
        self._granularity = read_choice("granularity", granularity, self.granularities)
        self._max_steps = read_count("max_steps", max_steps, 1)
        self.world_timeout_s = (
            None if world_timeout_s is None else check_seconds("world_timeout_s", world_timeout_s)
        )
        self._seed: int | None = None
        self._episode = 0
        self._state: EpisodeState | None = None

    if not TYPE_CHECKING:  # else every attribute would exist for type checkers

        def __getattr__(self, name: str) -> Any:
            """Says what is missing where a subclass never called this class's constructor."""
            if name in SET_BY_INIT:
                raise NotInitialised(
                    f"{type(self).__name__}.__init__() did not call super().__init__(problems, "
                    f"verifier, **options): {name!r} is missing"
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def has_world(self) -> bool:
        """Whether this class overrides the hooks of a world."""
        return (
            type(self).world_step is not ReasoningEnv.world_step
            or type(self).world_reset is not ReasoningEnv.world_reset
        )

    @property
    def max_steps(self) -> int:
        """After how many steps an episode is truncated where ``reset`` does not say."""
        return self._max_steps

    @property
    def plain_judge(self) -> bool:
        """Whether the verifier alone judges, so that many verdicts can be made in one batch."""
        return type(self).judge is ReasoningEnv.judge

    # -- hooks for authors ---------------------------------------------------------------

    def is_final(self, action: str) -> bool:
        """Whether an action ends the episode under continuation "policy"; asked after the
        world has moved. By default: whether the verifier finds a final answer in it."""
        return self.verifier.extract(action) is not None

    def legal(self, problem: Problem, actions: Sequence[str], action: str) -> bool | None:
        """Whether ``action`` is a right step after ``actions``, the expert's or not.

        None: this environment has no step checker.
        """
        return None

    world: Any = None
    """The state of the world, where it is not kept elsewhere."""

    def world_reset(self, problem: Problem) -> None:
        """Sets the world up for a problem; may raise a ``Failure``. By default ``self.world``
        becomes a copy of ``problem.metadata["world"]``."""
        self.world = copied_world(self, problem.metadata.get("world"))

    def world_step(self, action: str) -> str | None:
        """What the world answers to an action, or None; may raise a ``Failure``.

        It may take ``world_timeout_s``. After a ``WorldFailure``, which running out of time is
        too, the episode's actions are repeated from ``world_reset`` on. If the last fails again
        and the expert's do not, the policy is responsible: the episode ends with the verdict "not
        correct" and its reason as "policy_fault".
        """
        return None

    def world_replay(self, actions: Sequence[str]) -> Sequence[str | None]:
        """What the world answers to an expert's first actions, right after ``world_reset``.

        By default it takes them one by one; a slow world may know a shorter way there.
        """
        return [self.world_step(action) for action in actions]

    def world_info(self) -> Mapping[str, Any]:
        """What ``info["world"]`` says of a world that is set up: JSON-safe, nothing secret.
        By default nothing, and then there is no such key."""
        return {}

    def world_state(self) -> Any:
        """A copy of the world's state for ``snapshot``, independent of the world."""
        return copied_world(self, self.world)

    def world_restore(self, state: Any) -> None:
        """Puts the world back into a state that ``world_state`` returned."""
        self.world = copied_world(self, state)

    def judge(self, actions: Sequence[str]) -> Verdict:
        """The verdict on the episode's actions, the expert prefix included; may raise a
        ``Failure``. Where it is not overridden, many verdicts are made in one batch. It is called
        a second time with the same actions after a ``VerifierTimeout`` or ``VerifierCrash``."""
        return self.verifier.verify(self.problem, actions)

    # -- Gymnasium -----------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> ResetResult:
        """Starts an episode; returns (observation, info).

        Raises ``UnknownName`` and ``BadOption`` for wrong options, leaving the running episode
        as it is, and a ``Failure`` where the world could not be set up.
        """
        state = self._begin(seed, options)
        if state.world_live:
            state.world_rng = self.np_random.bit_generator.state
            self.world_reset(state.problem)
        state.history = expert_turns(self, state, state.start_step)
        state.index, state.open = state.start_step, True
        return self._observe(state)

    def step(self, action: str) -> StepResult:
        """Takes one step; returns (observation, reward, terminated, truncated, info).

        Raises ``ResetNeeded`` before a reset and after the episode's end. A ``Failure`` of the
        world, the verifier or the reward mode ends the episode (``fail``).
        """
        return finished([self], [attempted(partial(self.advance, action))])[0]

    def render(self) -> str | None:
        """The observation, for render_mode "ansi"; else None."""
        if self.render_mode is None:
            return None
        return self._observe(self._current())[0]

    # -- the two halves of a step ----------------------------------------------------------

    def expects(self, action: str) -> None:
        """Raises what is wrong with taking ``action`` now: ``ResetNeeded`` or ``BadOption``."""
        if not self._current().open:
            raise ResetNeeded("the episode has ended: call reset() before step()")
        if not isinstance(action, str):
            raise BadOption(f"an action is a text (str); got {type(action).__name__}: {action!r}")

    def advance(self, action: str) -> StepRecord:
        """Reads the completion and moves the world; the record has no verdict yet, unless the
        policy is responsible for a failure of the world, which ends the episode.

        May raise a ``Failure``, which is then given to ``fail``.
        """
        self.expects(action)
        state = self._current()
        completion = utf8_safe(action)
        state.parsed, state.legal = read_step(self, self.format.parse(completion)), None
        state.format_ok = state.format_ok and state.parsed.ok
        state.open = False  # until settled
        said, index = state.parsed.action, state.index
        before = tuple([turn.action for turn in state.history])
        expert = state.expert_action(self.style.join)
        if state.granularity == "step":
            state.legal = read_legal(self, self.legal(state.problem, before, said))
        terminated, fault = move(self, state, said)
        truncated = not terminated and state.taken >= state.max_steps
        return StepRecord(
            problem=state.problem,
            completion=completion,
            parsed=state.parsed,
            index=index,
            start_step=state.start_step,
            expert_action=expert,
            expert_actions=state.expert_actions,
            actions=before,
            granularity=state.granularity,
            continuation=state.continuation,
            terminated=terminated,
            truncated=truncated,
            legal=state.legal,
            verdict=fault,
            rng=self._reward_rng() if terminated or truncated else None,
            format_ok_so_far=state.format_ok,
            similarity=self.similarity,
            judged=state.continuation == "policy" or not state.world_live or self.plain_judge,
        )

    def settle(self, record: StepRecord, reward: StepReward | Failure) -> StepResult:
        """Ends the step that ``advance`` began: what ``step`` returns."""
        if isinstance(reward, Failure):
            return self.fail(reward)
        state = self._current()
        state.open = not record.ended
        observation, info = self._observe(state)
        info["reward_parts"] = dict(reward.parts)
        if record.ended:
            info["verdict"] = verdict_info(record)
        return observation, float(reward.value), record.terminated, record.truncated, info

    def fail(self, failure: Failure) -> StepResult:
        """Ends the episode because the library failed: NaN, truncated, ``info["failure"]``."""
        state = self._current()
        state.open = False
        observation, info = self._observe(state)
        info["failure"] = {"type": type(failure).__name__, "message": utf8_safe(str(failure))}
        return observation, math.nan, False, True, info

    def reset_failed(
        self, failure: Failure, *, seed: int | None, options: Mapping[str, Any] | None
    ) -> StepResult:
        """What ``fail`` returns for an episode that failed before its world was set up.

        seed, options: as for ``reset``; by them the episode's problem is known.
        """
        self._begin(seed, options)
        return self.fail(failure)

    # -- forks -----------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The state at this step, to be given to ``restore``, here or in an equal environment."""
        state = self._current()
        assert self._seed is not None, "set with the state"
        assert self._np_random is not None, "set with the state"
        return Snapshot(
            environment=type(self).__name__,
            seed=self._seed,
            episode=self._episode,
            state=replace(state),
            rng=self._np_random.bit_generator.state,
            world=self.world_state() if state.world_live else None,
        )

    def restore(self, snapshot: Snapshot, *, copy: int | None = None) -> ResetResult:
        """Goes back to a snapshot; returns (observation, info) as they were then.

        copy: a number for this fork, as in ``reset``. None leaves it the snapshot's, whose random
        rewards it then draws again.
        """
        if not isinstance(snapshot, Snapshot):
            raise BadOption(f"restore() takes what snapshot() gave; got {type(snapshot).__name__}")
        if snapshot.environment != type(self).__name__:
            raise BadOption(
                f"a snapshot of {snapshot.environment} cannot be restored in {type(self).__name__}"
            )
        number = snapshot.state.copy if copy is None else read_count("copy", copy, 0)
        if snapshot.state.world_live:
            self.world_restore(snapshot.world)
        bits = np.random.PCG64()
        bits.state = snapshot.rng  # type: ignore[assignment]
        self._np_random, self._np_random_seed = np.random.Generator(bits), snapshot.seed
        self._seed, self._episode = snapshot.seed, snapshot.episode
        self._state = replace(snapshot.state, copy=number)
        return self._observe(self._state)

    # -- privileged: for experts, tests and logs, never shown to a policy --------------------

    @property
    def problem(self) -> Problem:
        """The problem of this episode, its answer included."""
        return self._current().problem

    @property
    def expert_steps(self) -> tuple[ExpertStep, ...]:
        """The expert's steps in this episode; () without an expert."""
        return self._current().steps

    @property
    def expert_action(self) -> str | None:
        """What the expert would do now, the whole rest of the solution for granularity
        "solution"; None beyond its end and without an expert."""
        return self._current().expert_action(self.style.join)

    @property
    def step_index(self) -> int:
        """How many steps of the solution are done, the given ones included."""
        return self._current().index

    @property
    def history(self) -> tuple[Turn, ...]:
        """What was done so far and what the world answered, the given steps included."""
        return self._current().history

    @property
    def start_step(self) -> int:
        """How many expert steps this episode began with."""
        return self._current().start_step

    @property
    def reward_mode(self) -> RewardMode:
        """The reward mode of this episode."""
        return self._current().mode

    @property
    def continuation(self) -> Continuation:
        """Whose action enters the history in this episode."""
        return self._current().continuation

    @property
    def granularity(self) -> Granularity:
        """What one action is in this episode."""
        return self._current().granularity

    def expert_completion(self) -> str:
        """What the expert would write now: the next step, or the whole rest of the solution.

        Raises ``BadOption`` where there is no expert, or none of its steps is left.
        """
        return self.format.render(self._current().expert_step(self.style.join))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.problems.name!r})"

    __str__ = __repr__

    # -- how it is done --------------------------------------------------------------------

    def _current(self) -> EpisodeState:
        if self._state is None:
            raise ResetNeeded("no episode yet: call reset() first")
        return self._state

    def _next_seed(self, seed: int | None) -> tuple[int, int]:
        """The seed and the number of the episode that begins."""
        if seed is not None:
            return read_count("seed", seed, 0), 0
        if self._seed is None:
            return secrets.randbits(63), 0
        return self._seed, self._episode + 1

    def _begin(self, seed: int | None, options: Mapping[str, Any] | None) -> EpisodeState:
        """The next episode's state, now the environment's; the world is as it was."""
        options = read_options(options)
        seed, episode = self._next_seed(seed)
        rng = stream(type(self).__name__, self.problems.name, seed, episode)
        state = self._new_state(options, rng)
        self._seed, self._episode, self._state = seed, episode, state
        self._np_random, self._np_random_seed = rng, seed
        return state

    def _new_state(self, options: Mapping[str, Any], rng: np.random.Generator) -> EpisodeState:
        """The episode that the options ask for, before its first step."""
        mode = read_mode(options["reward_mode"]) if "reward_mode" in options else self._mode
        problem = choose_problem(self.problems, options.get("problem"), rng)
        steps: tuple[ExpertStep, ...] = ()
        if problem.trajectories:
            steps = problem.trajectories[int(rng.integers(len(problem.trajectories)))].steps
        continuation = (
            read_choice("continuation", options.get("continuation"), CONTINUATIONS)
            or self._continuation
            or mode.default_continuation
        )
        granularity = (
            read_choice("granularity", options.get("granularity"), self.granularities)
            or self._granularity
            or mode.default_granularity
        )
        if granularity not in self.granularities:  # a mode's default, which is no demand
            granularity = self.granularities[0]
        start = read_count("start_step", options.get("start_step", 0), 0)
        check_expert(problem, steps, mode, continuation, start)
        recorded = all(step.observation is not None for step in steps)
        return EpisodeState(
            problem=problem,
            steps=steps,
            expert_actions=tuple([step.action for step in steps]),
            opening=make_opening(self.style, self.format, granularity, utf8_safe(problem.prompt)),
            mode=mode,
            continuation=continuation,
            granularity=granularity,
            max_steps=read_count("max_steps", options.get("max_steps", self._max_steps), 1),
            start_step=start,
            copy=read_count("copy", options.get("copy", 0), 0),
            world_live=self.has_world and not (continuation == "expert" and recorded),
        )

    def _reward_rng(self) -> np.random.Generator:
        """For random rewards. Depends on the episode and its copy number, not on what was written:
        copies draw apart even where they write the same, and a restored one draws the same."""
        assert self._seed is not None
        keys = (type(self).__name__, self.problems.name, self._seed, self._episode)
        return stream(*keys, "reward", self._current().copy)

    def _observe(self, state: EpisodeState) -> ResetResult:
        """The observation and the info at this point, freshly made."""
        messages = state.messages(self.style, self.show_titles)
        info: dict[str, Any] = {
            "problem_id": utf8_safe(state.problem.id),
            "step": state.index,
            "reward_mode": state.mode.name,
            "reward_parts": {},
            "messages": messages,
        }
        if state.parsed is not None:
            info["action"] = state.parsed.action
            info["format_ok"] = state.parsed.ok
            info["format_error"] = state.parsed.problem_found
            info["legal"] = state.legal
        if state.world_live and (world := self.world_info()):
            info["world"] = all_utf8_safe(world)
        return observation_text(self.style, messages), info

"""The environment: a problem whose actions are reasoning steps.

A step has two halves. ``advance`` reads the completion and moves the world; ``settle`` returns the
result. Between them ``srl_env.episode.scoring`` makes verdicts and rewards, for one environment or
in batches for thousands. Neither the reward mode nor the verdict changes what is
observed or when an episode terminates.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from srl_env.conditions import DataConditions
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
    read_flag,
    read_fraction,
    read_mode,
    read_options,
)
from srl_env.episode.scoring import judge, reward, verdict_info
from srl_env.episode.state import EpisodeState, ResetResult, Snapshot, StepResult
from srl_env.episode.world import expert_turns, move
from srl_env.errors import BadOption, Failure
from srl_env.problem import ExpertStep, Problem, ProblemSource
from srl_env.rewards.measures import MEASURES, accepts
from srl_env.rewards.measures import find_measure as measure_named
from srl_env.rewards.record import Continuation, Granularity, Measure, StepRecord, StepReward
from srl_env.rewards.registry import RewardMode, needs_verifier
from srl_env.seconds import check_seconds
from srl_env.seeding import stream
from srl_env.text.format import CompletionFormat, ToolFormat
from srl_env.text.hint import first_steps, hinted_opening
from srl_env.text.prompt import PromptStyle, Turn, make_opening, observation_text
from srl_env.text.registry import MakeFormat, find_format
from srl_env.text.spaces import AnyText
from srl_env.text.unicode import all_utf8_safe, utf8_safe
from srl_env.verifiers.protocol import Verdict, Verifier


class ReasoningEnv(gymnasium.Env[str, str]):
    """Problems solved step by step in text. Subclass it, or give it problems and a verifier.

    **Observation.** The prompt as one text: the task, the problem, the solution so far and the
    world's answers. ``info["messages"]`` is the same as chat messages. Always valid UTF-8.

    **Action.** Any text. The completion format separates the thought from the action; thoughts
    never enter the history.

    **Reward.** Depends on the reward mode. NaN if the library failed (``fail``).

    **Episode end.**

    - Continuation "expert" (after a step the expert's action enters the history): terminates after
      the expert's last step.
    - Continuation "policy" (the policy's action enters): terminates when ``is_final`` is true.
    - Granularity "solution": terminates after one action.
    - Truncates after ``max_steps`` steps of this episode.

    **Options of reset**, for that episode only: ``reward_mode`` (name or object), ``problem`` (id
    or index; drawn by default), ``start_step`` (how many expert steps are already taken), ``hint``
    (the fraction of the expert's steps that the prompts show), ``continuation``, ``granularity``,
    ``max_steps``, ``measure`` (of steps), ``copy`` (the episode's number among those that start
    alike, 0 by default; only random rewards depend on it), and ``native_tools`` (whether messages
    show tools and calls in native form, if the format has tools; rollouts set it for policies that
    take them). An option wins over the constructor's value, and that over the reward mode's
    default.

    **Info.**

    - ``problem_id``, ``step`` (how many steps of the solution are done, the given ones included),
      ``reward_mode``, ``reward_parts``, ``messages``.
    - After a step: ``action`` (without the thought), ``format_ok``, ``format_error`` (what broke
      the format, or None), ``legal`` (None without a step checker).
    - At the end: ``verdict``, from the verifier in every mode. It is None if the judged steps are
      the expert's: under continuation "expert", unless the only action ends the solution. Then
      modes that never read it do not cause one. It is also None under continuation "expert" if the
      problem has no answer and the mode needs none.
    - On failure: ``failure`` ({"type", "message"}). The reward is NaN, the episode is truncated,
      and there is no verdict.

    **Worlds.** An environment with a world overrides ``world_step``. Its state is ``self.world``;
    an episode starts with a copy of ``problem.metadata["world"]``. Override ``world_reset`` for
    another start, and ``world_state`` and ``world_restore`` for a world that cannot be copied.
    Under continuation "expert", a trajectory with all observations recorded is replayed from the
    record, and the world is not set up. Otherwise the world takes the expert's actions.

    **Seeds.** Problem, trajectory and ``np_random`` come from
    ``stream(class name, source name, seed, episode)``. Later resets without a seed count episodes.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 1}  # type: ignore[misc]
    granularities: ClassVar[tuple[Granularity, ...]] = GRANULARITIES
    """What one action may be. ("step",) if a solution cannot be written without the world's
    answers; a mode for whole solutions then gives its reward at the end of the steps."""
    formats: ClassVar[Mapping[str, MakeFormat]] = {}
    """Formats by name that this environment makes in its own way."""
    slow_world: ClassVar[bool] = False
    """Whether the world or the judge mostly waits, so that many may be stepped in threads."""
    measure: str | Measure = "characters"
    """How good a step is, for the reward modes srl and hybrid: a name of
    ``srl_env.rewards.measures``, or a function of the action and its context. A subclass or the
    constructor may set another."""
    measures: ClassVar[Mapping[str, Measure]] = {}
    """Measures by name that this environment has in its own way."""

    def __init__(
        self,
        problems: ProblemSource,
        verifier: Verifier,
        *,
        reward_mode: str | RewardMode | None = None,
        continuation: Continuation | None = None,
        granularity: Granularity | None = None,
        max_steps: int = 32,
        format: CompletionFormat | str | Mapping[str, Any] = "think",
        style: PromptStyle = PromptStyle(),  # noqa: B008  # frozen
        show_titles: bool = False,
        measure: str | Measure | None = None,
        world_timeout_s: float | None = 60.0,
        demonstrated: int | None = None,
        hide_thoughts: bool = False,
        noise: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        """reward_mode: "srl" by default, and "rlvr" with ``demonstrated``.
        format: of completions, as ``srl_env.text.registry.find_format`` takes it: "think",
        "think-optional", "lines", "tool-calls", "brackets", module:Class, or an object.
        show_titles: whether the prompt has the title of the next step, if there is one.
        measure: of steps, instead of the class's: "characters", "accepts" or another name,
        "module:function", or a function of the action and its ``StepRecord``.
        world_timeout_s: how long one step of the world may take, None for no limit.
        ``srl_env.time_limit`` says how it is interrupted, and what cannot be.
        demonstrated, hide_thoughts, noise: conditions of the data, see
        ``srl_env.conditions.DataConditions``."""
        format = find_format(format, type(self).formats)
        check_parts(type(self).__name__, problems, verifier, format, style)
        self.conditions = DataConditions(demonstrated, hide_thoughts, noise)
        self.problems, self.verifier = self.conditions.of(problems), verifier
        self.format, self.style = format, style
        self.show_titles = read_flag("show_titles", show_titles)
        # Looked up on the class, where a function is not bound to anything.
        self.measure = type(self).measure if measure is None else measure
        self.find_measure(self.measure)
        self.render_mode = render_mode
        self.observation_space, self.action_space = AnyText(), AnyText()
        default = "srl" if demonstrated is None else "rlvr"
        self._mode = read_mode(default if reward_mode is None else reward_mode)
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
        """After how many steps an episode is truncated by default."""
        return self._max_steps

    @property
    def has_accepts(self) -> bool:
        """Whether this class says which steps are acceptable."""
        cls = type(self)
        return cls.accepts is not ReasoningEnv.accepts or cls.legal is not ReasoningEnv.legal

    @property
    def native_format(self) -> ToolFormat | None:
        """The format, if it has tools that messages can show in native form."""
        format = self.format
        return (
            format
            if self.style.turns and isinstance(format, ToolFormat) and format.native
            else None
        )

    @property
    def plain_judge(self) -> bool:
        """Whether the verifier alone judges, so that many verdicts can be made in one batch."""
        return type(self).judge is ReasoningEnv.judge

    def lacks_answer(self, problem: Problem) -> bool:
        """Whether the verifier cannot judge, because it needs an answer and there is none."""
        needed = self.plain_judge and getattr(self.verifier, "needs_answer", False)
        return needed and problem.answer is None

    # -- hooks for authors ---------------------------------------------------------------

    def is_final(self, action: str) -> bool:
        """Whether an action ends the episode under continuation "policy".

        It is called after the world has moved. By default: whether the verifier finds a final
        answer.
        """
        return self.verifier.extract(action) is not None

    def legal(self, problem: Problem, actions: Sequence[str], action: str) -> bool | None:
        """Whether ``action`` is a correct step after ``actions``, the expert's or another.

        None: this environment has no step checker.
        """
        return None

    def accepts(self, action: str, context: StepRecord) -> float:
        """How acceptable ``action`` is in its context, in [0, 1]: the measure "accepts".

        context: the step as reward modes see it, with the problem, the actions before and the
        expert's action. It has no verdict yet, and the world has already moved. By default 1 for a
        legal step, else 0; ``BadOption`` without a step checker.
        """
        return accepts(action, context)

    world: Any = None
    """The state of the world, unless it is kept elsewhere."""

    def world_reset(self, problem: Problem) -> None:
        """Sets the world up for a problem; may raise a ``Failure``.

        By default ``self.world`` becomes a copy of ``problem.metadata["world"]``.
        """
        self.world = copied_world(self, problem.metadata.get("world"))

    def world_step(self, action: str) -> str | None:
        """The world's answer to an action, or None; may raise a ``Failure``.

        It may take ``world_timeout_s``; more is a ``WorldFailure`` too. After a ``WorldFailure``
        the episode's actions are repeated from ``world_reset`` on. If the last one fails again and
        the expert's do not, the policy is responsible: the episode ends with the verdict "not
        correct" and its reason as "policy_fault".
        """
        return None

    def world_replay(self, actions: Sequence[str]) -> Sequence[str | None]:
        """The world's answers to an expert's first actions, right after ``world_reset``.

        By default it takes them one by one; a slow world may have a shortcut.
        """
        return [self.world_step(action) for action in actions]

    def world_info(self) -> Mapping[str, Any]:
        """``info["world"]`` for a world that is set up: JSON-safe, nothing secret.

        By default empty, and then the key is absent.
        """
        return {}

    def world_reward(self) -> float | None:
        """The world's own reward for the last action, for the reward mode "world"; None without."""
        return None

    def world_state(self) -> Any:
        """A copy of the world's state for ``snapshot``, independent of the world."""
        return copied_world(self, self.world)

    def world_restore(self, state: Any) -> None:
        """Puts the world back into a state that ``world_state`` returned."""
        self.world = copied_world(self, state)

    def judge(self, actions: Sequence[str]) -> Verdict:
        """The verdict on the episode's actions, the expert prefix included.

        It may raise a ``Failure``. It is called again with the same actions after a
        ``VerifierTimeout`` or ``VerifierCrash``. If it is not overridden, many verdicts are made in
        one batch.
        """
        return self.verifier.verify(self.problem, actions)

    # -- Gymnasium -----------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> ResetResult:
        """Starts an episode; returns (observation, info).

        Raises ``UnknownName`` and ``BadOption`` for wrong options, and then the current episode
        stays as it is. Raises a ``Failure`` if the world cannot be set up.
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
        try:
            record = self.advance(action)
            if record.to_judge:
                record.verdict = judge(self, record)
            record, earned = reward(self._current().mode, record)
        except Failure as failure:
            return self.fail(failure)
        return self.settle(record, earned)

    def render(self) -> str | None:
        """The observation, for render_mode "ansi"; else None."""
        if self.render_mode is None:
            return None
        return self._observe(self._current())[0]

    # -- the two halves of a step ----------------------------------------------------------

    def expects(self, action: str) -> None:
        """Raises ``ResetNeeded`` or ``BadOption`` if ``action`` cannot be taken now."""
        if not self._current().open:
            raise ResetNeeded("the episode has ended: call reset() before step()")
        if not isinstance(action, str):
            raise BadOption(f"an action must be a str; got {type(action).__name__} {action!r:.80}")

    def advance(self, action: str) -> StepRecord:
        """Reads the completion and moves the world.

        The record has no verdict yet, unless the policy is responsible for a failure of the world,
        which ends the episode. A ``Failure`` that this raises goes to ``fail``.
        """
        self.expects(action)
        state = self._current()
        completion = utf8_safe(action)
        state.parsed = parsed = read_step(self, self.format.parse(completion))
        state.legal, state.format_ok = None, state.format_ok and parsed.ok
        state.open = False  # until ``settle``
        own, index = parsed.action, state.index
        before = tuple([turn.action for turn in state.history])
        expert = state.expert_action(self.style.join)
        if state.granularity == "step":
            state.legal = read_legal(self, self.legal(state.problem, before, own))
        terminated, fault = move(self, state, own)
        truncated = not terminated and state.taken >= state.max_steps
        ended, alone = terminated or truncated, terminated and index == state.start_step
        return StepRecord(
            problem=state.problem,
            completion=completion,
            parsed=parsed,
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
            rng=self._reward_rng() if ended else None,
            format_ok_so_far=state.format_ok,
            measure=self.find_measure(self.measure if state.measure is None else state.measure),
            judged=not ended or self._judged(state, alone),
            find_measure=self.find_measure,
            world_reward=None if fault else self._rewarded_by_world(state),
        )

    def settle(self, record: StepRecord, reward: StepReward) -> StepResult:
        """Ends the step that ``advance`` started, and returns what ``step`` returns."""
        state = self._current()
        state.open = not record.ended
        observation, info = self._observe(state)
        info["reward_parts"] = dict(reward.parts)
        if record.ended:
            info["verdict"] = verdict_info(record)
        return observation, float(reward.value), record.terminated, record.truncated, info

    def fail(self, failure: Failure) -> StepResult:
        """Ends the episode after a failure: NaN, truncated, ``info["failure"]``."""
        state = self._current()
        state.open = False
        observation, info = self._observe(state)
        info["failure"] = {"type": type(failure).__name__, "message": utf8_safe(str(failure))}
        return observation, math.nan, False, True, info

    def reset_failed(
        self, failure: Failure, *, seed: int | None, options: Mapping[str, Any] | None
    ) -> StepResult:
        """What ``fail`` returns for an episode that failed before its world was set up.

        seed, options: as for ``reset``; they determine the episode's problem.
        """
        self._begin(seed, options)
        return self.fail(failure)

    # -- forks -----------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The state at this step, for ``restore`` of this or an equal environment."""
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

        copy: the number of this fork, as in ``reset``. None keeps the snapshot's, so the same
        random rewards are drawn again.
        """
        if not isinstance(snapshot, Snapshot):
            raise BadOption(f"restore() takes a Snapshot; got {type(snapshot).__name__}")
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

    def expert_of(
        self, seed: int, options: Mapping[str, Any]
    ) -> tuple[Problem, tuple[ExpertStep, ...]]:
        """The problem and the expert's steps of the episode that ``reset`` would start.

        It starts none. Raises ``UnknownName`` and ``BadOption`` for wrong options.
        """
        rng = stream(type(self).__name__, self.problems.name, seed, 0)
        return self._drawn(read_options(options), rng)

    @property
    def expert_action(self) -> str | None:
        """The expert's action at this step; for granularity "solution" the rest of the solution.

        None after the expert's last step, and without an expert.
        """
        return self._current().expert_action(self.style.join)

    @property
    def step_index(self) -> int:
        """How many steps of the solution are done, the given ones included."""
        return self._current().index

    @property
    def history(self) -> tuple[Turn, ...]:
        """The actions so far and the world's answers, the given steps included."""
        return self._current().history

    @property
    def start_step(self) -> int:
        """How many expert steps this episode started with."""
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

    @property
    def native_tools(self) -> bool:
        """Whether this episode's messages show tools and calls in native form."""
        return self._current().native is not None

    def expert_completion(self) -> str:
        """The expert's completion at this step: the next step, or the rest of the solution.

        Raises ``BadOption`` without an expert and after its last step.
        """
        return self.format.render(self._current().expert_step(self.style.join))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.problems.name!r})"

    __str__ = __repr__

    # -- implementation --------------------------------------------------------------------

    def _current(self) -> EpisodeState:
        if self._state is None:
            raise ResetNeeded("no episode yet: call reset() first")
        return self._state

    def _begin(self, seed: int | None, options: Mapping[str, Any] | None) -> EpisodeState:
        """Makes the next episode's state the environment's; the world stays as it is."""
        options = read_options(options)
        if seed is not None:
            seed, episode = read_count("seed", seed, 0), 0
        elif self._seed is None:
            seed, episode = secrets.randbits(63), 0
        else:
            seed, episode = self._seed, self._episode + 1
        rng = stream(type(self).__name__, self.problems.name, seed, episode)
        state = self._new_state(options, rng)
        self._seed, self._episode, self._state = seed, episode, state
        self._np_random, self._np_random_seed = rng, seed
        return state

    def _new_state(self, options: Mapping[str, Any], rng: np.random.Generator) -> EpisodeState:
        mode = read_mode(options["reward_mode"]) if "reward_mode" in options else self._mode
        problem, steps = self._drawn(options, rng)
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
        if granularity not in self.granularities:  # it was only the mode's default
            granularity = self.granularities[0]
        start = read_count("start_step", options.get("start_step", 0), 0)
        check_expert(problem, steps, mode, continuation, start)
        actions = tuple([step.action for step in steps])
        native = self._native(options, granularity)
        opening = make_opening(
            self.style, self.format, granularity, utf8_safe(problem.prompt), native
        )
        hint = read_fraction("hint", options.get("hint", 0))
        recorded = all(step.observation is not None for step in steps)
        measure = options.get("measure")
        if measure is not None:
            self.find_measure(measure)
        return EpisodeState(
            problem=problem,
            steps=steps,
            expert_actions=actions,
            opening=hinted_opening(self.style, opening, first_steps(actions, hint)),
            mode=mode,
            continuation=continuation,
            granularity=granularity,
            max_steps=read_count("max_steps", options.get("max_steps", self._max_steps), 1),
            start_step=start,
            copy=read_count("copy", options.get("copy", 0), 0),
            measure=measure,
            world_live=self.has_world and not (continuation == "expert" and recorded),
            native=native,
        )

    def _rewarded_by_world(self, state: EpisodeState) -> float | None:
        """The world's reward for the policy's own action."""
        own = state.world_live and state.continuation == "policy"
        return self.world_reward() if own else None

    def _judged(self, state: EpisodeState, alone: bool) -> bool:
        """Whether the episode's end has a verdict; it always has if the policy's steps count.

        alone: whether the verdict is on the policy's action alone, as it ends the solution.
        """
        if state.continuation == "policy":
            return True
        if state.world_live and not self.plain_judge:
            return False
        return needs_verifier(state.mode) or (alone and not self.lacks_answer(state.problem))

    def find_measure(self, chosen: str | Measure) -> Measure:
        """The chosen measure; ``BadOption`` for "accepts" without a step checker."""
        if chosen != "accepts":
            return measure_named(chosen, self.measures)
        if not self.has_accepts:
            raise BadOption(
                f"measure 'accepts' needs an environment that checks steps; got "
                f"{type(self).__name__}, which does not. Fix: override accepts() or legal(), or "
                f"choose another measure: {', '.join(sorted({*MEASURES, *self.measures}))}"
            )
        return self.accepts

    def _drawn(
        self, options: Mapping[str, Any], rng: np.random.Generator
    ) -> tuple[Problem, tuple[ExpertStep, ...]]:
        """The episode's problem, and the steps of one of its experts."""
        problem = choose_problem(self.problems, options.get("problem"), rng)
        experts = problem.trajectories
        if not experts:
            return problem, ()
        # One of one needs no random number: ``integers(1)`` takes none from the stream either.
        return problem, experts[int(rng.integers(len(experts))) if len(experts) > 1 else 0].steps

    def _native(self, options: Mapping[str, Any], granularity: Granularity) -> ToolFormat | None:
        """The format, if tools are native in an episode with these options."""
        chosen = options.get("native_tools", False)
        if not isinstance(chosen, bool):
            raise BadOption(f"native_tools must be True or False; got {chosen!r}")
        return self.native_format if chosen and granularity == "step" else None

    def _reward_rng(self) -> np.random.Generator:
        """The stream for random rewards. It depends on the episode and its copy number only, so
        copies draw different numbers, and a restored episode draws the same again."""
        assert self._seed is not None
        keys = (type(self).__name__, self.problems.name, self._seed, self._episode)
        return stream(*keys, "reward", self._current().copy)

    def _observe(self, state: EpisodeState) -> ResetResult:
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

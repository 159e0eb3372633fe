"""``srl/OpenEnv-v0``: an environment on a server that speaks OpenEnv's protocol.

``srl_env.make("openenv:http://localhost:8000")`` takes any such server, ours (``srl-env serve``)
among them.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from srl_env.data.splits import QUARTERS, split_of
from srl_env.environment import ReasoningEnv
from srl_env.episode.state import EpisodeState, ResetResult
from srl_env.errors import BadOption, Failure, WorldFailure
from srl_env.problem import ExpertStep, Problem
from srl_env.rewards.record import Granularity
from srl_env.seconds import check_seconds
from srl_env.seeding import derive_seed
from srl_env.text.format import ParsedStep
from srl_env.text.prompt import Message, PromptStyle, observation_text
from srl_env.text.unicode import all_utf8_safe, utf8_safe
from srl_env.verifiers import Verdict
from srl_tasks.adapters.openenv.connection import (
    Connection,
    Refused,
    ReportedFailure,
    Server,
    WorldUnreachable,
    describe,
)
from srl_tasks.adapters.unasked import Unasked
from srl_tasks.generated.family import EndlessSource, Split

STYLE = PromptStyle(
    step_task="You act in a world that answers in text. Write your next action and nothing else.",
    problem="{problem}",
    observation="{observation}",
)
_SEEDS = 2**31


class OpenEnvEnv(ReasoningEnv):
    """Act in an environment on an OpenEnv server.

    **Task.** The first observation states it.

    **Observation.** The server's. One of ``srl-env serve`` sends the whole prompt, which is shown
    as it is. From others, the first observation, the actions so far and the answer to each.

    **Action.** A text, sent as ``action_field`` of OpenEnv's action. ``srl-env serve`` gets the
    whole completion, and its own format reads it. Other servers get the action of the ``format``.

    **Expert.** None here, so the modes are "world", "rlvr", "score" and the controls. What a server
    rewards is chosen with ``reset_options``, for ours ``{"reward_mode": "srl"}``.

    **Reward.** By the reward mode: with "world" the server's own, step by step. With "rlvr" 1 at
    the end if the episode is correct: by the server's verdict if it sends one, else if its rewards
    sum to ``correct_at`` or more. With "score" that sum.

    **Episode end.** When the server says so; after ``max_steps`` it is truncated.

    **Failures.** A server that cannot be reached, closes the connection, or does not answer within
    ``timeout_s`` is a ``failure`` (``WorldUnreachable``, ``WorldTimeout``), never a reward. Before
    that, the episode is repeated once in a new session. An episode whose action a server refuses is
    repeated too. If the server refuses it again, and takes the actions before it, the action is
    wrong, with a "policy_fault". What the server itself reports as a failure stays one
    (``ReportedFailure``).

    **Info.** That of ``ReasoningEnv``; ``world`` has the server's last "reward".

    **Data.** Problem i is the episode with a seed hashed from ``split``, the address and i.
    ``split``: "train", "dev" or "test", by the hash of the seed. A server with few problems may
    make the same one from two seeds.

    **Versions.** v0: first.
    """

    granularities: ClassVar[tuple[Granularity, ...]] = ("step",)
    slow_world = True

    def __init__(
        self,
        url: str | None = None,
        *,
        token_env: str | None = None,
        timeout_s: float = 60.0,
        action_field: str | None = None,
        reset_options: Mapping[str, Any] | None = None,
        split: Split = "train",
        max_problems: int = 100_000,
        correct_at: float = 1.0,
        **options: Any,
    ) -> None:
        """url: as http://localhost:8000. token_env: environment variable with the server's token.
        action_field: where the text goes; by default the only text that the server's schema needs.
        reset_options: sent with every reset. options: those of ``ReasoningEnv``.

        Raises ``BadOption`` if the server cannot be reached, or its actions are no texts."""
        if not isinstance(url, str) or not url:
            raise BadOption(
                "srl/OpenEnv-v0 needs url='http://localhost:8000', or openenv:URL as its name"
            )
        check_seconds("timeout_s", timeout_s)
        self.server = Server(url, token_env, timeout_s)
        schemas = describe(self.server)
        self._remote = _Remote(
            self.server,
            action_field or _text_field(schemas["action"]),
            json.dumps(dict(reset_options or {}), sort_keys=True),
        )
        source = OpenEnvSource(self._remote, split, max_problems)
        own: dict[str, Any] = {"style": STYLE, "reward_mode": "world", "world_timeout_s": None}
        if "messages" in schemas.get("observation", {}).get("properties", {}):
            own["format"] = AsWritten.of(schemas["action"])
        super().__init__(source, Unasked(), **own | options)
        self._connection = Connection(self.server)
        self.correct_at = correct_at
        self.world: Played | None = None

    def world_reset(self, problem: Problem) -> None:
        """Begins the problem's episode on the server."""
        seed = problem.metadata["seed"]
        if not problem.prompt:
            raise WorldUnreachable(f"{self.server.url} gave no first observation")
        self.world = Played(seed, self._remote.reset(self._connection, seed))

    def world_step(self, action: str) -> str:
        """The server's observation."""
        assert self.world is not None, "an episode was begun"
        self.world = self.world.after(action, self._remote.step(self._connection, action))
        return self.world.seen.text

    def world_reward(self) -> float | None:
        """The server's last reward."""
        return None if self.world is None else self.world.seen.reward

    def world_info(self) -> Mapping[str, Any]:
        """The server's last reward."""
        return {"reward": self.world.seen.reward} if self.world is not None else {}

    def world_state(self) -> Played | None:
        """What has to be repeated to come back here."""
        return self.world

    def world_restore(self, state: Played | None) -> None:
        """Repeats an episode's actions on the server."""
        if state is None:
            return
        self.world = Played(state.seed, self._remote.reset(self._connection, state.seed))
        for action in state.actions:
            self.world_step(action)

    def is_final(self, action: str) -> bool:
        """Whether the server has ended the episode."""
        return self.world is not None and self.world.seen.done

    def judge(self, actions: Sequence[str]) -> Verdict:
        """The server's verdict; without one, by the sum of its rewards."""
        assert self.world is not None, "an episode was begun"
        seen, total = self.world.seen, self.world.total
        correct = seen.done and total >= self.correct_at if seen.correct is None else seen.correct
        return Verdict(correct, None, {"score": total})

    def close(self) -> None:
        """Ends the session."""
        self._connection.close()

    def _observe(self, state: EpisodeState) -> ResetResult:
        text, info = super()._observe(state)
        messages = self.world.seen.messages if self.world is not None and state.world_live else ()
        if (
            messages
            and self.world is not None
            and self.world.seed == state.problem.metadata["seed"]
        ):
            return observation_text(self.style, messages), {**info, "messages": list(messages)}
        return text, info


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server answered. messages: the whole prompt, () if it does not send it. correct: its
    verdict, None without one."""

    text: str
    messages: tuple[Message, ...]
    reward: float
    done: bool
    correct: bool | None


@dataclass(frozen=True, slots=True)
class Played:
    """An episode on a server: its seed, the actions so far, the last answer, the sum of rewards."""

    seed: int
    seen: Seen
    actions: tuple[str, ...] = ()
    total: float = 0.0

    def after(self, action: str, seen: Seen) -> Played:
        """The same after another action."""
        total = self.total + seen.reward
        return replace(self, seen=seen, actions=(*self.actions, action), total=total)


@dataclass(frozen=True, slots=True)
class _Remote:
    """How to play on a server. options: of every reset, as JSON."""

    server: Server
    action_field: str
    options: str

    def reset(self, connection: Connection, seed: int) -> Seen:
        """The first observation; ``BadOption`` if the server refuses the options of the reset."""
        data = {**json.loads(self.options), "seed": seed}
        try:
            return _read(connection.ask("reset", data))
        except Refused as refused:
            if "VALIDATION_ERROR" in str(refused):
                raise BadOption(f"reset_options: {refused}") from refused
            raise

    def step(self, connection: Connection, action: str) -> Seen:
        """The observation after an action."""
        return _read(connection.ask("step", {self.action_field: action}))


@functools.lru_cache(maxsize=64)
def _reader(remote: _Remote) -> Connection:
    """The session in which a process reads first observations."""
    return Connection(remote.server)


@functools.lru_cache(maxsize=4096)
def _first(remote: _Remote, seed: int) -> str:
    return remote.reset(_reader(remote), seed).text


@dataclass(frozen=True)
class OpenEnvSource(EndlessSource):
    """Problem ``i`` is the episode with the split's i-th seed; its prompt is the first observation.

    Where the server cannot be reached, the prompt is empty and the episode fails. Ids are
    "openenv/URL/split/index".
    """

    remote: _Remote
    split: Split
    max_problems: int

    def __post_init__(self) -> None:
        self.check_arguments()

    @property
    def name(self) -> str:
        """Address and split."""
        return f"openenv/{self.remote.server.url.rstrip('/')}/{self.split}"

    def make(self, index: int) -> Problem:
        """Problem number ``index``."""
        draws = (derive_seed("openenv", self.name, index, n) % _SEEDS for n in itertools.count())
        seed = next(s for s in draws if split_of(f"openenv {s}", QUARTERS) == self.split)
        try:
            shown = _first(self.remote, seed)
        except Failure:
            shown = ""
        return Problem(f"{self.name}/{index}", shown, metadata={"seed": seed})


@dataclass(frozen=True, slots=True)
class AsWritten:
    """The format of a server that has one of its own: a completion is sent as it is.

    stop, thoughts: those of the server's format, if it says so.
    """

    stop: tuple[str, ...] = ()
    thoughts: bool = False
    instructions: str = field(default="", init=False)

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> AsWritten:
        """The format that a schema of actions asks for."""
        text = schema.get("properties", {}).get("text", {})
        stop = tuple(s for s in text.get("x-stop", ()) if isinstance(s, str))
        return cls(stop, text.get("x-thoughts") is True)

    def parse(self, text: str) -> ParsedStep:
        """The whole text as the action."""
        empty = not text.strip()
        return ParsedStep(None, text, not empty, "the completion is empty" if empty else None)

    def render(self, step: ExpertStep) -> str:
        """The action, unchanged."""
        return step.action


def _text_field(schema: Mapping[str, Any]) -> str:
    """The name of the only text that an action needs. ``BadOption`` if there is not exactly one."""
    properties = schema.get("properties", {})
    texts = [n for n, p in properties.items() if isinstance(p, dict) and p.get("type") == "string"]
    needed = [name for name in texts if name in schema.get("required", ())]
    for found in (needed, texts):
        if len(found) == 1:
            return str(found[0])
    raise BadOption(
        f"action_field must be given for this server, whose actions have {', '.join(properties)}"
    )


def _read(data: Mapping[str, Any]) -> Seen:
    """What a server answered. Raises ``ReportedFailure`` if it reports one, ``WorldFailure`` if it
    cannot be read."""
    shown = data.get("observation")
    observation = shown if isinstance(shown, Mapping) else {"text": shown}
    if isinstance(failure := observation.get("failure"), Mapping):
        raise ReportedFailure(f"{failure.get('type')}: {failure.get('message')}")
    reward = data.get("reward")
    value = 0.0 if reward is None else reward
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise WorldFailure(f"the server's reward must be a finite number; got {reward!r:.80}")
    info = observation.get("info")
    verdict = info.get("verdict") if isinstance(info, Mapping) else None
    correct = verdict.get("correct") if isinstance(verdict, Mapping) else None
    return Seen(
        _text(observation),
        _messages(observation.get("messages")),
        float(value),
        bool(data.get("done")),
        correct if isinstance(correct, bool) else None,
    )


def _text(observation: Mapping[str, Any]) -> str:
    """The observation as text: its field "text", its only text, or all of it as JSON."""
    if isinstance(observation.get("text"), str):
        return utf8_safe(observation["text"])
    texts = [value for value in observation.values() if isinstance(value, str)]
    return utf8_safe(texts[0] if len(texts) == 1 else json.dumps(observation, ensure_ascii=False))


def _messages(given: Any) -> tuple[Message, ...]:
    """The whole prompt; () for anything but chat messages."""
    chat = isinstance(given, list) and all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str)
        for m in given
    )
    return tuple(all_utf8_safe(given)) if chat else ()

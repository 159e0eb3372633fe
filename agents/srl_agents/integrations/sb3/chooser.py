"""A trained agent as a step chooser on top of a language model's samples."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import sb3_contrib
import stable_baselines3
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

from srl_agents.integrations.sb3.candidates import CandidateView, distinct
from srl_agents.integrations.sb3.encoding import Encoder, HashedNgrams
from srl_agents.integrations.sb3.proposals import check_samples
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadData, BadOption, Failure
from srl_env.policy import Generation, Policy, Sampling
from srl_env.rollout import AnyPolicy, PrivilegedPolicy
from srl_env.seeding import derive_seed
from srl_env.text.format import CompletionFormat, ThinkTags
from srl_env.text.prompt import Messages

AGENT, DESCRIPTION = "agent.zip", "chooser.json"


class SB3Policy:
    """Samples k steps of another policy for each prompt, and takes the one the agent chooses.

    What it returns is the chosen sample, token ids and all. A failure of the other policy leaves
    the fewer samples to choose from; it is passed on where no sample came.
    """

    def __init__(
        self,
        agent: Any,
        policy: Policy,
        *,
        encoder: Encoder | None = None,
        format: CompletionFormat | None = None,
        temperature: float | None = 1.0,
        environment: str | None = None,
    ) -> None:
        """agent: an SB3 algorithm trained on ``CandidateSteps``, which says k. encoder: the one it
        was trained with, None for ``HashedNgrams()``. format: of the completions, as the
        environment's; None for ``ThinkTags()``. temperature: at which to sample, also where a
        greedy generation is asked for, as equal samples leave no choice; None for the one asked.
        environment: the id of the one the agent was trained in, where it is known.
        Raises BadOption where agent and encoder do not fit, and for a policy without samples.
        """
        check_samples(policy)
        self.agent, self.policy, self.temperature = agent, policy, temperature
        self.format, self.environment = format or ThinkTags(), environment
        space = getattr(agent, "observation_space", None)
        if "mask" not in getattr(space, "spaces", {}):
            raise BadOption(f"the agent was not trained on CandidateSteps; it observes {space}")
        assert space is not None
        self.view = CandidateView(int(space["mask"].shape[0]), encoder)
        if self.view.space != space:
            raise BadOption(
                f"the agent was trained with another encoder than {self.view.encoder}: it "
                f"observes {space}, the encoder gives {self.view.space}"
            )

    @classmethod
    def load(
        cls,
        folder: str | PathLike[str],
        policy: Policy,
        *,
        format: CompletionFormat | None = None,
        temperature: float | None = 1.0,
    ) -> SB3Policy:
        """The chooser that ``save_chooser`` wrote.

        An agent's file can run code when it is loaded, as all of SB3's can: load your own.
        Raises BadData where the folder holds no chooser.
        """
        saved = _read(Path(folder))
        file = Path(folder) / AGENT
        try:
            agent = saved.algorithm.load(file, device="cpu")
        except (OSError, ValueError) as error:  # SB3 adds a suffix of its own to names in messages
            why = "is not there" if not file.is_file() else f"cannot be read: {error}"
            raise BadData(f"{file} {why}; give a folder that save_chooser wrote") from error
        return cls(
            agent,
            policy,
            encoder=saved.encoder,
            format=format,
            temperature=temperature,
            environment=saved.environment,
        )

    @property
    def generator(self) -> Any:
        """The other policy's randomness; None where it has none."""
        return getattr(self.policy, "generator", None)

    @property
    def usage(self) -> Any:
        """What the other policy counts of its requests; None where it counts none."""
        return getattr(self.policy, "usage", None)

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        """The chosen sample for each prompt, or a failure where none came."""
        temperature = sampling.temperature if self.temperature is None else self.temperature
        k = self.view.k
        seeds = tuple(derive_seed("chooser", seed, i) for seed in sampling.seeds for i in range(k))
        made = self.policy.generate(
            [messages for messages in batch for _ in range(k)],
            replace(sampling, temperature=temperature, seeds=seeds),
        )
        groups = [made[i * k : (i + 1) * k] for i in range(len(batch))]
        sound = [[g for g in group if not isinstance(g, Failure)] for group in groups]
        chosen = iter(self._choose([(m, s) for m, s in zip(batch, sound, strict=True) if s]))
        return [
            next(chosen) if samples else group[0]
            for group, samples in zip(groups, sound, strict=True)
        ]

    def _choose(self, prompts: Sequence[tuple[Messages, Sequence[Generation]]]) -> list[Generation]:
        """One of the samples of each prompt."""
        if not prompts:
            return []
        options = [distinct([s.text for s in samples], self.format) for _, samples in prompts]
        views = [
            self.view.observe(messages, candidates)
            for (messages, _), candidates in zip(prompts, options, strict=True)
        ]
        shown = {name: np.stack([view[name] for view in views]) for name in views[0]}
        more = {"action_masks": shown["mask"] > 0} if _takes_masks(self.agent) else {}
        actions, _ = self.agent.predict(shown, deterministic=True, **more)
        return [
            samples[candidates[min(int(action), len(candidates) - 1)].place]
            for (_, samples), candidates, action in zip(prompts, options, actions, strict=True)
        ]


def save_chooser(agent: Any, folder: str | PathLike[str], encoder: Encoder | None = None) -> None:
    """Writes a trained agent, its encoder and the id of its environment into a folder.

    encoder: a dataclass of plain values; None for ``HashedNgrams()``. Raises BadOption for
    another, and for an agent that is none of SB3's.
    """
    encoder = encoder or HashedNgrams()
    if not is_dataclass(encoder) or isinstance(encoder, type):
        raise BadOption(f"an encoder is saved as a dataclass of plain values; got {encoder!r}")
    name, kind = type(agent).__name__, type(encoder)
    _algorithm(name)
    shown = {f.name for f in fields(encoder) if f.repr}
    options = {key: value for key, value in asdict(encoder).items() if key in shown}
    described = {
        "algorithm": name,
        "environment": _trained_in(agent),
        "encoder": f"{kind.__module__}:{kind.__qualname__}",
        "encoder_options": options,
    }
    Path(folder).mkdir(parents=True, exist_ok=True)
    agent.save(Path(folder) / AGENT)
    text = json.dumps(described, indent=2) + "\n"
    (Path(folder) / DESCRIPTION).write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Saved:
    """What stands beside an agent."""

    algorithm: Any
    encoder: Encoder
    environment: str | None


def _read(folder: Path) -> _Saved:
    path = folder / DESCRIPTION
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        module, _, name = found["encoder"].partition(":")
        kind = getattr(importlib.import_module(module), name)
        encoder = kind(**found["encoder_options"])
        return _Saved(_algorithm(found["algorithm"]), encoder, found.get("environment"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise BadData(
            f"{path}: no chooser can be read ({type(error).__name__}: {error}); save one with "
            "srl_agents.integrations.sb3.chooser.save_chooser(agent, folder, encoder)"
        ) from error


def _trained_in(agent: Any) -> str | None:
    """The id of the agent's environment; None where it has none."""
    env = agent.get_env()
    specs = [] if env is None else env.get_attr("spec")
    return specs[0].id if specs and specs[0] is not None else None


def _algorithm(name: str) -> Any:
    """SB3's class of that name."""
    for package in (stable_baselines3, sb3_contrib):
        if hasattr(package, name):
            return getattr(package, name)
    raise BadOption(f"{name!r} is no algorithm of stable-baselines3 or sb3-contrib")


def _takes_masks(agent: Any) -> bool:
    return isinstance(agent.policy, MaskableActorCriticPolicy)


def load_chooser(folder: str, policy: AnyPolicy, env: ReasoningEnv) -> SB3Policy:
    """The agent of stable-baselines3 in that folder, choosing among the policy's samples.

    Raises BadOption for a policy that looks into the environment, BadData where there is no agent
    in the folder, MissingExtra without stable-baselines3.
    """

    if isinstance(policy, PrivilegedPolicy):
        raise BadOption("a chooser chooses among samples; the expert's step is always the same")
    return SB3Policy.load(folder, policy, format=env.format)

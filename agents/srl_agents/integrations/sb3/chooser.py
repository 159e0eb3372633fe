"""A trained agent that chooses among a language model's samples."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from srl_agents.integrations.sb3.candidates import CandidateView, distinct
from srl_agents.integrations.sb3.encoding import Encoder, HashedNgrams
from srl_agents.integrations.sb3.proposals import as_sampler
from srl_env.errors import BadData, BadOption, Failure
from srl_env.lazy import optional_import
from srl_env.policy import Generation, Sampling
from srl_env.rollout import AnyPolicy
from srl_env.seeding import derive_seed
from srl_env.text.format import CompletionFormat, ThinkTags
from srl_env.text.prompt import Messages

with optional_import("sb3", "stable_baselines3", "sb3_contrib", "torch"):
    import sb3_contrib
    import stable_baselines3
    from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

AGENT, DESCRIPTION = "agent.zip", "chooser.json"
TEMPERATURE = 1.0
"""Of all samples, even for a greedy generation: equal samples leave no choice."""


class SB3Policy:
    """Samples k completions of another policy for each prompt and returns the one an agent chooses.

    The result is the chosen sample with its token ids. Failed samples leave fewer to choose
    from; if all samples of a prompt failed, the result is the failure.
    """

    def __init__(
        self,
        agent: Any,
        policy: AnyPolicy,
        *,
        encoder: Encoder | None = None,
        format: CompletionFormat | None = None,
        environment: str | None = None,
    ) -> None:
        """agent: an SB3 algorithm trained on ``CandidateSteps``; it fixes k. encoder: the one it
        was trained with, None for ``HashedNgrams()``. format: the environment's, None for
        ``ThinkTags()``. environment: the id of the agent's, if known.
        Raises BadOption if agent and encoder do not fit, and for a policy without samples.
        """
        self.agent, self.policy = agent, as_sampler(policy)
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
        policy: AnyPolicy,
        *,
        format: CompletionFormat | None = None,
    ) -> SB3Policy:
        """The chooser that ``save_chooser`` wrote.

        Loading an SB3 agent can run code from its file, so load only your own.
        Raises BadData if the folder holds no chooser.
        """
        policy, file = as_sampler(policy), Path(folder) / AGENT
        algorithm, encoder, environment = _description(Path(folder) / DESCRIPTION)
        try:
            agent = algorithm.load(file, device="cpu")
        except (OSError, ValueError) as error:  # SB3 adds its own suffix to names in messages
            why = "is missing" if not file.is_file() else f"cannot be read: {error}"
            raise BadData(f"{file} {why}. Fix: use a folder that save_chooser wrote") from error
        return cls(agent, policy, encoder=encoder, format=format, environment=environment)

    @property
    def generator(self) -> Any:
        """The other policy's generator; None if it has none."""
        return getattr(self.policy, "generator", None)

    @property
    def usage(self) -> Any:
        """The other policy's usage; None if it counts none."""
        return getattr(self.policy, "usage", None)

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        """The chosen sample for each prompt, or a failure if there is none."""
        k = self.view.k
        seeds = tuple(derive_seed("chooser", seed, i) for seed in sampling.seeds for i in range(k))
        made = self.policy.generate(
            [messages for messages in batch for _ in range(k)],
            replace(sampling, temperature=TEMPERATURE, seeds=seeds),
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
        masked = isinstance(self.agent.policy, MaskableActorCriticPolicy)
        more = {"action_masks": shown["mask"] > 0} if masked else {}
        actions, _ = self.agent.predict(shown, deterministic=True, **more)
        return [
            samples[candidates[min(int(action), len(candidates) - 1)].place]
            for (_, samples), candidates, action in zip(prompts, options, actions, strict=True)
        ]


def save_chooser(agent: Any, folder: str | PathLike[str], encoder: Encoder | None = None) -> None:
    """Writes a trained agent, its encoder and the id of its environment into a folder.

    encoder: a dataclass of plain values; None for ``HashedNgrams()``. Raises BadOption for
    another, and for an agent that is not an SB3 algorithm.
    """
    encoder = encoder or HashedNgrams()
    if not is_dataclass(encoder) or isinstance(encoder, type):
        raise BadOption(f"encoder must be a dataclass of plain values; got {encoder!r}")
    name, kind = type(agent).__name__, type(encoder)
    _algorithm(name)
    env = agent.get_env()
    (spec, *_) = env.get_attr("spec") if env else (None,)
    shown = {f.name for f in fields(encoder) if f.repr}
    description = {
        "algorithm": name,
        "environment": spec.id if spec else None,
        "encoder": f"{kind.__module__}:{kind.__qualname__}",
        "encoder_options": {key: v for key, v in asdict(encoder).items() if key in shown},
    }
    Path(folder).mkdir(parents=True, exist_ok=True)
    agent.save(Path(folder) / AGENT)
    text = json.dumps(description, indent=2) + "\n"
    (Path(folder) / DESCRIPTION).write_text(text, encoding="utf-8")


def _description(path: Path) -> tuple[Any, Encoder, str | None]:
    """The algorithm's class, the encoder and the environment that ``save_chooser`` wrote."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        module, _, name = found["encoder"].partition(":")
        encoder = getattr(importlib.import_module(module), name)(**found["encoder_options"])
        return _algorithm(found["algorithm"]), encoder, found.get("environment")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise BadData(
            f"{path} is not a chooser ({type(error).__name__}: {error}). Fix: save one with "
            "srl_agents.integrations.save_chooser(agent, folder, encoder)"
        ) from error


def _algorithm(name: str) -> Any:
    for package in (stable_baselines3, sb3_contrib):
        if hasattr(package, name):
            return getattr(package, name)
    raise BadOption(f"unknown algorithm of stable-baselines3 or sb3-contrib: {name!r}")

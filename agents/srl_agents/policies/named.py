"""Policies by name: built in, a run, a model's folder or hub name, on a server, or your own."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from srl_agents.models.folder import check_model, model_folder
from srl_agents.policies import own
from srl_agents.runs.config import RunConfig
from srl_agents.runs.history import run_folder, training_runs
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, UnknownName
from srl_env.rollout import AnyPolicy

BUILT_IN = {
    "expert": "srl_agents.policies.simple:ExpertPolicy",
    "human": "srl_agents.policies.human:HumanPolicy",
    "random": "srl_agents.policies.simple:RandomPolicy",
}
"""The class of each policy that needs no model."""

_SERVER, _ENGINE = "openai:", "vllm:"
_OF_MODEL = "srl_agents.policies.transformers:TransformersPolicy"
_OF_SERVER = "srl_agents.policies.servers.openai:OpenAIPolicy"
_OF_ENGINE = "srl_agents.policies.vllm.engine:VLLMPolicy"


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """A policy by name, before anything is loaded.

    source: its class, as ``own.find`` takes it. model: the folder or name of its model, None
    without one. runs: the trainings of that model, the last one first.
    """

    name: str
    source: str
    model: str | None = None
    runs: tuple[RunConfig, ...] = ()

    @property
    def is_model(self) -> bool:
        """Whether it is a model's folder or hub name, which can be trained."""
        return self.source == _OF_MODEL

    @property
    def on_server(self) -> bool:
        """Whether a server computes it."""
        return self.source == _OF_SERVER

    def load(
        self,
        env: ReasoningEnv | None,
        device: str | None = None,
        seed: int = 0,
        arguments: Mapping[str, Any] | None = None,
    ) -> AnyPolicy:
        """The policy, for environments like ``env``; for none in particular without one.

        Its class gets the arguments, and ``device``, ``seed`` and the environment's ``format`` if
        it takes them. Raises BadOption if it cannot be loaded, UnknownName for an argument that it
        does not take, MissingExtra for a package that is not installed.
        """
        found = own.find(self.source)
        if device is not None and self.source in (_OF_ENGINE, _OF_SERVER):
            raise BadOption(f"{self.name} takes no device; got {device!r}. Fix: omit it")
        positional = () if self.model is None else (self.model,)
        offered = {"device": device, "seed": seed, "format": None if env is None else env.format}
        return own.make(self.name, found, *positional, arguments=arguments or {}, offered=offered)


def read_spec(name: str) -> PolicySpec:
    """What a name stands for.

    Raises UnknownName for a misspelled built-in name, BadOption for an unfinished run or for a
    server's address.
    """
    if name.startswith(("http://", "https://")):
        raise BadOption(
            f"a server's policy must be openai:MODEL; got its address. Fix: {_SERVER}MODEL with"
            f" --base-url {name}"
        )
    if name.startswith(_SERVER):
        return PolicySpec(name, _OF_SERVER, name.removeprefix(_SERVER))
    if name.startswith(_ENGINE):
        found = read_spec(name.removeprefix(_ENGINE))
        if found.source != _OF_MODEL:
            raise BadOption(f"{_ENGINE}MODEL needs a folder, a run or a hub name; got {name!r}")
        return replace(found, name=name, source=_OF_ENGINE)
    if own.is_own(name):
        return PolicySpec(name, name)
    path = Path(name)
    if not path.exists() and "/" not in name:
        if name in BUILT_IN:
            return PolicySpec(name, BUILT_IN[name])
        if difflib.get_close_matches(name, BUILT_IN, n=1):
            raise UnknownName("policy", name, BUILT_IN)
    model = model_folder(name)
    if model == name and run_folder(path) == path:
        check_model(name)
    return PolicySpec(name, _OF_MODEL, model, tuple(training_runs(path)))


def trained_decoding(runs: Sequence[RunConfig]) -> dict[str, Any]:
    """How the last training had its model write: settings of an evaluation, {} if there is none.

    A model that learned to write whole solutions is not asked for single steps, and its
    completions are not truncated earlier than in training.
    """
    if not runs:
        return {}
    return runs[0].resolved_method.stages[-1].objective.decoding()

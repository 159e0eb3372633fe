"""What the name of a policy stands for: the expert, chance, you, a run, a folder, a hub name, a
model on a server or in vLLM's engine, or your own policy in a file or module.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from srl_agents.policies.human import HumanPolicy
from srl_agents.policies.own import is_own, own_policy
from srl_agents.policies.simple import ExpertPolicy, RandomPolicy
from srl_agents.runs.config import RunConfig
from srl_agents.runs.history import run_folder, training_runs
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, UnknownName
from srl_env.rollout import AnyPolicy

BUILT_IN = ("expert", "human", "random")
SERVER = "openai:"
ENGINE = "vllm:"


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """A policy by name, before anything is loaded.

    model: the folder or hub name of its model, None for a built-in one. runs: the trainings that
    are in it, the last one first. on_server: the model's name on a server. engine: what runs it.
    own: whether it is your own policy (``srl_agents.policies.own``).
    """

    name: str
    model: str | None
    runs: tuple[RunConfig, ...] = ()
    on_server: str | None = None
    engine: Literal["transformers", "vllm"] = "transformers"
    own: bool = False

    def load(
        self,
        env: ReasoningEnv,
        device: str | None = None,
        seed: int = 0,
        arguments: Mapping[str, Any] | None = None,
    ) -> AnyPolicy:
        """The policy, for environments like ``env``.

        arguments: of ``OpenAIPolicy`` for a model on a server, of ``VLLMPolicy`` for vLLM's
        engine, of your own policy. Raises BadOption where it cannot be loaded,
        MissingExtra for a package that is not installed.
        """
        if self.on_server is not None:
            return _server_policy(self.on_server, {"seed": seed, **(arguments or {})})
        if self.engine == "vllm":
            return _engine_policy(str(self.model), device, {"seed": seed, **(arguments or {})})
        if self.own:
            return own_policy(self.name, arguments)
        if arguments:
            raise BadOption(
                f"{', '.join(arguments)}: for a model on a server, as {SERVER}MODEL, in vLLM's "
                f"engine, as {ENGINE}MODEL, or your own, as FILE.py; got policy {self.name!r}"
            )
        if self.model is not None:
            from srl_agents.policies.transformers import TransformersPolicy

            return TransformersPolicy.from_pretrained(self.model, device=device, seed=seed)
        if self.name == "expert":
            return ExpertPolicy()
        if self.name == "human":
            return HumanPolicy(format=env.format)
        return RandomPolicy(seed, format=env.format)


def read_spec(spec: str) -> PolicySpec:
    """What a name stands for.

    Raises UnknownName for what is nearly a built-in name, BadOption for an unfinished run.
    """
    if spec.startswith(SERVER):
        return PolicySpec(spec, None, on_server=spec.removeprefix(SERVER))
    if spec.startswith(ENGINE):
        found = read_spec(spec.removeprefix(ENGINE))
        if found.model is None:
            raise BadOption(f"{ENGINE}MODEL needs a folder, a run or a hub name; got {spec!r}")
        return replace(found, name=spec, engine="vllm")
    if is_own(spec):
        return PolicySpec(spec, None, own=True)
    path = Path(spec)
    if not path.exists() and "/" not in spec:
        if spec in BUILT_IN:
            return PolicySpec(spec, None)
        if difflib.get_close_matches(spec, BUILT_IN, n=1):
            raise UnknownName("policy", spec, BUILT_IN)
    if run_folder(path) == path:
        return PolicySpec(spec, _trained_model(path), tuple(training_runs(path)))
    return PolicySpec(spec, spec, tuple(training_runs(path)))


def trained_decoding(runs: Sequence[RunConfig]) -> dict[str, Any]:
    """How the last training had its model write: settings of an evaluation, {} if there is none.

    A model that learned to write whole solutions is not asked for single steps, nor cut off
    earlier than in training.
    """
    if not runs:
        return {}
    return runs[0].resolved_method.stages[-1].objective.decoding()


def _server_policy(model: str, arguments: Mapping[str, Any]) -> AnyPolicy:
    from srl_agents.policies.servers.openai import OpenAIPolicy

    known = set(inspect.signature(OpenAIPolicy).parameters) - {"model", "api_key"}
    for name in arguments:
        if name not in known:
            raise UnknownName("argument of OpenAIPolicy", name, known)
    return OpenAIPolicy(model, **arguments)


def _engine_policy(model: str, device: str | None, arguments: Mapping[str, Any]) -> AnyPolicy:
    from srl_agents.policies.vllm.engine import VLLMPolicy

    if device is not None:
        raise BadOption(f"vLLM's engine takes the device it was built for; got device {device!r}")
    return VLLMPolicy(model, **arguments)


def _trained_model(run: Path) -> str:
    """The model folder of a finished run."""
    if (run / "model").is_dir():
        return str(run / "model")
    found = sorted((run / "checkpoints").glob("update-*"))
    other = f", or evaluate its last checkpoint, {found[-1]}" if found else ""
    raise BadOption(
        f"{run} is a run that has not finished; go on with it (srl-env train --resume {run}){other}"
    )

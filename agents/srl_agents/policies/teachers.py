"""The teachers of a run: its own weights, another model, or a server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from srl_agents.models.loading import find_device, load, load_tokenizer
from srl_agents.nn.score import make_decoder
from srl_agents.objectives.teacher import OWN_WEIGHTS, is_server
from srl_agents.parallel.sharding import shard
from srl_agents.parallel.team import ALONE, Team
from srl_agents.policies.servers.teacher import TeacherServer
from srl_agents.policies.trained import Reference, will_shard
from srl_agents.policies.transformers import TransformersPolicy
from srl_agents.runs.config import ModelConfig
from srl_env.errors import BadOption


def check_teachers(names: Iterable[str], settings: ModelConfig) -> None:
    """Raises BadOption for a teacher that cannot score the model's tokens. Loads no weights.

    names: as ``TeacherRequest.weights``.
    """
    others = [name for name in names if name not in OWN_WEIGHTS]
    if not others:
        return
    tokenizer = load_tokenizer(settings.path)
    for name in others:
        if is_server(name):
            TeacherServer(name, tokenizer).close()
        else:
            _check_vocabulary(name, load_tokenizer(name), settings.path, tokenizer)


def load_teachers(
    names: Iterable[str],
    settings: ModelConfig,
    policy: TransformersPolicy,
    reference: Reference | None,
    team: Team = ALONE,
) -> dict[str, Reference]:
    """{name: what scores}. reference: the run's first weights, if "start" is among the names."""
    known: dict[str, Reference | None] = {"current": policy.decoder, "start": reference}
    found: dict[str, Reference] = {}
    for name in names:
        own = known.get(name)
        found[name] = own if own is not None else _load(name, settings, policy, team)
    return found


def _load(name: str, settings: ModelConfig, policy: TransformersPolicy, team: Team) -> Reference:
    if is_server(name):
        return TeacherServer(name, policy.tokenizer, policy.device)
    sharded = will_shard(settings, team)
    place = find_device("cpu") if sharded else policy.device
    model, _ = load(name, place, settings.dtype)
    model.requires_grad_(False)
    if sharded:
        shard(model, policy.device, settings.autocast)
    return make_decoder(model)


def _check_vocabulary(name: str, theirs: Any, path: str, ours: Any) -> None:
    """Raises BadOption unless both tokenizers have the same tokens with the same ids."""
    vocabularies = theirs.get_vocab(), ours.get_vocab()
    if vocabularies[0] == vocabularies[1]:
        return
    differing = sorted(set(vocabularies[0].items()) ^ set(vocabularies[1].items()))
    raise BadOption(
        f"objective.teacher must have the tokenizer of model.path; {name} and {path} differ in"
        f" {len(differing)} entries, as {differing[0][0]!r}. Fix: choose a teacher of the same"
        " family of models"
    )

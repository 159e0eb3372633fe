"""Runners whose policies are vLLM servers, each with its health checked and its own weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from srl_agents.collection.ahead.local import LocalRunner
from srl_agents.collection.versioned import Versioned, Weights
from srl_agents.parallel.team import Team
from srl_agents.policies.servers.failures import ServerUnreachable
from srl_agents.policies.servers.vllm_server import (
    SERVER_ADAPTERS,
    SERVER_WEIGHTS,
    VLLMServerPolicy,
    write_server_weights,
)
from srl_agents.policies.transformers import TransformersPolicy
from srl_agents.policies.vllm.adapters import AdapterVersions
from srl_agents.runs.config import RunConfig
from srl_env.errors import BadOption, Failure, PromptRefused
from srl_env.policy import Generation, Sampling
from srl_env.rollout import EnvPools
from srl_env.text.prompt import Messages

_HEALTH_S = 10.0  # between two checks
_KEPT = 2  # versions of the weights on the disk; a server may be reading the last but one


class ServerRunner(LocalRunner):
    """Runs jobs in the thread that calls it, sampling from a server.

    Several may share a server. A server that cannot be reached, or that answers none of a batch's
    prompts, is lost.
    """

    def recover(self, wanted: Callable[[], bool]) -> None:
        """Raises ServerUnreachable unless the server answers again with a model like the trained
        one."""
        try:
            self._policy.policy.server.check()
        except BadOption as error:
            raise ServerUnreachable(str(error)) from error
        self._policy.forget()


class Answering:
    """A server as a policy that raises if it is lost, rather than failing each episode."""

    concurrent = True

    def __init__(self, server: VLLMServerPolicy) -> None:
        self.server, self.native_tools = server, server.native_tools

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        """What the server samples; raises the failure of a lost server."""
        made = self.server.generate(batch, sampling)
        failed = [each for each in made if isinstance(each, Failure)]
        for each in failed:
            refused = isinstance(each, PromptRefused)
            if isinstance(each, ServerUnreachable) or (len(failed) == len(made) and not refused):
                raise each
        return made

    def close(self) -> None:
        """Closes the connections."""
        self.server.close()


class Servers:
    """The servers of a training process, and the files with their weights."""

    def __init__(self, config: RunConfig, policy: TransformersPolicy, team: Team) -> None:
        """Raises BadOption for a server that does not answer, or that serves another model."""
        self._folder, self._team = Path(config.out), team
        self._continues = config.rollout.continue_episodes
        urls = config.policy.base_urls[team.rank :: team.size]
        if not urls:
            raise BadOption(
                "policy.base_url must name a server for each process that trains; got"
                f" {len(config.policy.base_urls)} for {team.size}. Fix: start more servers, or"
                " fewer processes"
            )
        self._policies = [
            VLLMServerPolicy(
                url,
                policy,
                self._folder / SERVER_WEIGHTS,
                rows=config.policy.rows,
                health_s=_HEALTH_S,
                continues=self._continues,
            )
            for url in urls
        ]
        for each in self._policies:
            each.retries = 1  # another server may be sound
        self._adapters = AdapterVersions(self._folder / SERVER_ADAPTERS)
        self._written: list[Path] = []

    def runners(self, pools: Callable[[], EnvPools], workers: int) -> Iterator[ServerRunner]:
        """As many as ``workers``, and at least one for each server."""
        shared = [Versioned(Answering(each), self._continues) for each in self._policies]
        for number in range(max(workers, len(shared))):
            server = shared[number % len(shared)]
            yield ServerRunner(self._policies[number % len(shared)].root, pools(), server)

    def offered(self, model: nn.Module, version: int) -> Weights:
        """The model's weights as they are now, in files that the servers load later."""
        takes = {each.takes_adapters(model) for each in self._policies}
        if len(takes) > 1:
            raise BadOption(
                "policy.base_url must name servers that all take adapters, or none; got both. Fix:"
                " start all with --enable-lora, or all without"
            )
        load: Callable[[Any], None]
        if takes == {True}:
            new = self._policies[0].write_adapters(model, self._adapters, self._team.main)
            new = self._team.broadcast(new)
            path, load = new.path, partial(_load_adapters, new)
        else:
            path = (self._folder / SERVER_WEIGHTS).with_stem(f"sampler-{version}")
            write_server_weights(model, path, self._team.main)
            load = partial(_load_file, path)
        self._team.wait()  # it is there for the servers of all processes
        self._written.append(path)
        while self._team.main and len(self._written) > _KEPT:
            _remove(self._written.pop(0))
        return Weights(version, load)


def _load_adapters(new: Any, policy: Answering) -> None:
    policy.server.load_adapters(new)


def _load_file(path: Path, policy: Answering) -> None:
    policy.server.load_file(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

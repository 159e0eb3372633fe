"""What a run is made of: pydantic at the edge, checked before anything is loaded.

A configuration is read from TOML (or the ``config.json`` of an earlier run), with dotted
overrides on top::

    config = load_config("run.toml", ["train.lr=3e-4", "stages.srl.objective.temperature=1.2"])

``[train]`` changes every stage of the method that has the field, ``[stages.NAME]`` one of them.
TOML has no word for nothing: ``"off"`` empties a field that may be empty, as in
``stages.srl.until.informative=off`` or ``budget.seconds=off``.
Every mistake is an ``UnknownName`` or ``BadOption`` that names the dotted key.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from srl_agents.methods.budget import StageBudget
from srl_agents.methods.stages import Method
from srl_agents.runs.method import resolved
from srl_agents.runs.section import Section
from srl_agents.runs.settings import read_tree, with_overrides, without_off
from srl_agents.runs.validation import validated

if TYPE_CHECKING:
    from srl_agents.runs.settings import Tree


_RAY_JOB = 8  # groups


class EnvConfig(Section):
    """The environment: a registered id, and keyword arguments for ``srl_env.make``.

    problems: a file of problem ids, as ``srl-env difficulty`` writes it, that alone are trained
    on; None for all.
    """

    id: str
    options: dict[str, Any] = Field(default_factory=dict)
    problems: str | None = None


class LoraConfig(Section):
    """Low-rank adapters through peft, in place of training all weights.

    targets: names of the linear layers, or "all-linear".
    """

    rank: Annotated[int, Field(ge=1)] = 16
    alpha: Annotated[float, Field(gt=0)] = 32.0
    targets: str | list[str] = "all-linear"


class ModelConfig(Section):
    """The model: a folder or hub name of a causal language model, and how it is computed.

    device: "auto" takes a GPU where there is one. dtype: of the weights. autocast: matrix
    products in bfloat16 over weights kept in dtype. threads: of torch on CPU, None for its own
    default. gradient_checkpointing: recompute activations to save memory. parallel: what several
    processes hold, where a launcher starts them: each the whole model ("ddp"), or each a part of
    every weight, gradient and optimiser state ("fsdp").
    """

    path: str
    device: str = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    autocast: bool = False
    lora: LoraConfig | None = None
    threads: Annotated[int | None, Field(ge=1)] = None
    gradient_checkpointing: bool = False
    parallel: Literal["ddp", "fsdp"] = "ddp"

    @model_validator(mode="after")
    def _weights_that_small_steps_change(self) -> Self:
        if self.dtype == "bfloat16" and self.lora is None:
            raise ValueError(
                "model.dtype: weights trained in bfloat16 lose small updates to rounding; keep"
                " float32 and set model.autocast, or train adapters (model.lora)"
            )
        return self


SAMPLERS = {
    "transformers": "srl_agents.policies.sampler:Copy",
    "vllm": "srl_agents.policies.vllm.engine:VLLMPolicy",
    "vllm-server": "srl_agents.policies.servers.vllm_server:VLLMServerPolicy",
}
"""The class of each sampler, with the trained weights; a line here is all that a new one needs."""


def _sampler(name: str) -> str:
    if name in SAMPLERS or name.endswith(".py") or ":" in name:
        return name
    raise ValueError(
        f"policy.sampler: must be one of {', '.join(SAMPLERS)}, or your own policy, as FILE.py or"
        f" module:Class; got {name!r}"
    )


class PolicyConfig(Section):
    """What samples: the trained model itself, vLLM with its weights, here or in a server, or yours.

    sampler: "transformers" (the model itself), "vllm", "vllm-server", or your own policy, as
    FILE.py or module:Class. engine: further arguments of ``vllm.LLM``, or of your own policy.
    sampler_cap: of stages that set none, where another engine than the trained model samples
    (GRPO's ``sampler_cap``); None trusts the engine's log-probs. rows: completions vLLM samples
    at once. base_url: of the server for "vllm-server", as http://localhost:8000.
    """

    sampler: Annotated[str, AfterValidator(_sampler)] = "transformers"
    sampler_cap: Annotated[float | None, Field(gt=0)] = 2.0
    rows: Annotated[int, Field(ge=1)] = 256
    engine: dict[str, Any] = Field(default_factory=dict)
    base_url: str | None = None

    @model_validator(mode="after")
    def _a_server_or_none(self) -> Self:
        if self.sampler != "vllm-server":
            if self.base_url is not None:
                raise ValueError(
                    "policy.base_url: only a server has one; set policy.sampler to 'vllm-server'"
                )
        elif self.base_url is None:
            raise ValueError(
                "policy.base_url: the sampler 'vllm-server' needs the server's address, as"
                " http://localhost:8000"
            )
        elif self.engine:
            raise ValueError(
                "policy.engine: a server's options are given to 'vllm serve' where it is started;"
                f" got {', '.join(self.engine)}"
            )
        return self


class RolloutConfig(Section):
    """Who runs the episodes: this process ("local"), or Ray's actors ("ray").

    job_groups: groups that are rolled out together; with equal ones, one process and any number of
    workers give the same run. None: 8 for ray; for local all at once, which is the fastest there.
    workers: actors, each with a processor, environments and a policy of its own. gpus: of each, a
    share below 1 too. address: of a running cluster, as for ``ray.init``; None starts one here.
    deadline_s: for one job, and for a worker's start; who misses it is replaced. retries: how
    often a job whose worker was lost is given to another, before its episodes count as failed.
    """

    engine: Literal["local", "ray"] = "local"
    job_groups: Annotated[int | None, Field(ge=1)] = None
    workers: Annotated[int, Field(ge=1)] = 2
    gpus: Annotated[float, Field(ge=0)] = 0.0
    address: str | None = None
    deadline_s: Annotated[float, Field(gt=0)] = 1800.0
    retries: Annotated[int, Field(ge=0)] = 2

    @property
    def groups_per_job(self) -> int | None:
        """The size of a job; None for all groups there are."""
        return self.job_groups or (_RAY_JOB if self.engine == "ray" else None)


class BudgetConfig(Section):
    """How long the whole run may be: exactly one of the three.

    seconds: of training, that is sampling, reward, update and probes; checkpoints, logs and
    whatever came before are not counted. tokens: sampled, or for demonstrations trained on.
    """

    updates: Annotated[int | None, Field(ge=1)] = None
    seconds: Annotated[float | None, Field(gt=0)] = None
    tokens: Annotated[int | None, Field(ge=1)] = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of updates, seconds, tokens; got {given or 'none'}")
        return self

    @property
    def whole(self) -> StageBudget:
        """The whole run's budget as if it were one stage."""
        unit, total = next((name, float(value)) for name, value in self if value is not None)
        return StageBudget(unit, 0.0, total)


Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(Section):
    """AdamW, new for every stage; the learning rate is the stage's.

    betas: of stages that name none of their own. max_grad_norm: the gradient is scaled down to
    it. micro_batch_tokens: as many tokens go through the model at once; the gradient does not
    depend on it.
    """

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    micro_batch_tokens: Annotated[int, Field(ge=1)] = 4096


class LogConfig(Section):
    """What is written besides ``metrics.jsonl``; 0 turns a thing off.

    rollouts_every: updates between two that write episodes to ``rollouts.jsonl``, at most
    ``rollouts_kept`` of them each. kl_every: updates between two that measure the KL to the
    run's first weights, which keeps a copy of them in memory. warn_after: updates in a row
    without a kept group after which the run warns, with the reason. tracker: also log to it.
    """

    tensorboard: bool = True
    tracker: Literal["wandb", "trackio"] | None = None
    rollouts_every: Annotated[int, Field(ge=0)] = 10
    rollouts_kept: Annotated[int, Field(ge=1)] = 16
    warn_after: Annotated[int, Field(ge=0)] = 5
    kl_every: Annotated[int, Field(ge=0)] = 20


class CheckpointConfig(Section):
    """every: updates between two checkpoints; keep: how many of the last ones stay."""

    every: Annotated[int, Field(ge=1)] = 50
    keep: Annotated[int, Field(ge=1)] = 2


class RunConfig(Section):
    """One training run, whole.

    out: the run's folder. method: a registered name, or a list of stages written out.
    train: changes to every stage that has the field; stages: changes to one, by its name.
    """

    out: str
    env: EnvConfig
    model: ModelConfig
    budget: BudgetConfig
    method: str | list[dict[str, Any]] = "srl-rlvr"
    seed: Annotated[int, Field(ge=0)] = 0
    train: dict[str, Any] = Field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = Field(default_factory=dict)
    policy: PolicyConfig = PolicyConfig()
    rollout: RolloutConfig = RolloutConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    log: LogConfig = LogConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    @model_validator(mode="after")
    def _a_server_and_no_workers(self) -> Self:
        if self.rollout.engine == "ray" and self.policy.sampler == "vllm-server":
            raise ValueError(
                "rollout.engine: Ray's workers do not sample from a server; set policy.sampler to"
                " 'vllm', which gives each an engine, or rollout.engine to 'local'"
            )
        return self

    @cached_property
    def resolved_method(self) -> Method:
        """The method with this configuration's changes to its stages."""
        return self.method_at("")

    @property
    def needs_reference(self) -> bool:
        """Whether the run compares with its first weights, in the loss or in the log."""
        stages = self.resolved_method.stages
        return self.log.kl_every > 0 or any(s.objective.needs_reference for s in stages)

    def method_at(self, where: str) -> Method:
        """``resolved_method``, whose mistakes name the configuration's dotted place."""
        cap = None if self.policy.sampler == "transformers" else self.policy.sampler_cap
        return resolved(self.method, self.train, self.stages, cap, where)


def make_config(tree: Tree, where: str = "") -> RunConfig:
    """The configuration in nested dictionaries, checked whole, its method included.

    where: the dotted place of the tree, for messages. Raises UnknownName for a key, method or
    stage that does not exist, BadOption for a value that cannot work.
    """
    config = validated(RunConfig, without_off(tree), where)
    _ = config.method_at(where)
    return config


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """The configuration in a TOML or JSON file, with ``key.key=value`` overrides on top."""
    return make_config(with_overrides(read_tree(path), overrides))

"""The configuration of a run, checked before anything is loaded.

A configuration is read from TOML (or the ``config.json`` of an earlier run), with dotted
overrides on top::

    config = load_config("run.toml", ["train.lr=3e-4", "stages.srl.objective.temperature=1.2"])

``[train]`` changes every stage of the method that has the field, ``[stages.NAME]`` one of them.
TOML has no null: ``"off"`` means None, as in ``stages.srl.until.informative=off``.
Every mistake raises ``UnknownName`` or ``BadOption`` with the dotted key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from srl_agents.methods.budget import StageBudget
from srl_agents.methods.stages import Beta, Method
from srl_agents.models.folder import model_folder
from srl_agents.objectives.choices import SamplerCorrection
from srl_agents.runs.evaluation import TrainingEvaluationConfig
from srl_agents.runs.method import resolved
from srl_agents.runs.section import Section
from srl_agents.runs.settings import dotted, read_tree, with_overrides, without_off
from srl_agents.runs.validation import missing, validated
from srl_env.errors import BadOption, UnknownName

if TYPE_CHECKING:
    from srl_agents.runs.settings import Tree


_RAY_JOB = 8  # groups


class EnvConfig(Section):
    """The environment.

    id: a registered id or a file, as for ``srl_env.make``. options: its keyword arguments.
    problems: a file of the ids of problems to train on, as ``srl-env difficulty`` writes it; None
    for all. experts: data with solutions of the environment's problems, as ``srl-env data collect``
    writes them; the run trains on these problems, with these solutions as the experts'.
    """

    id: str
    options: dict[str, Any] = Field(default_factory=dict)
    problems: str | None = None
    experts: str | None = None


class EpisodeConfig(Section):
    """Options of ``reset`` in one environment, which win over those of a stage; None leaves them.

    reward_mode: how its episodes are rewarded. continuation, granularity, max_steps: as in an
    objective.
    """

    reward_mode: str | None = None
    continuation: Literal["expert", "policy"] | None = None
    granularity: Literal["step", "solution"] | None = None
    max_steps: Annotated[int | None, Field(ge=1)] = None

    @property
    def options(self) -> dict[str, Any]:
        """Those that are set."""
        return {name: value for name, value in self if value is not None}


class WeightedEnvConfig(EnvConfig):
    """One of several environments of a run.

    name: in metrics, and for ``envs`` of a stage; None for the id. weight: how many starts it gets,
    relative to the other weights. episode: options of its episodes.
    """

    name: str | None = None
    weight: Annotated[float, Field(gt=0)] = 1.0
    episode: EpisodeConfig = EpisodeConfig()


class LoraConfig(Section):
    """Low-rank adapters through peft, instead of training all weights.

    rank: of the adapters. alpha: their scale is alpha / rank. targets: names of the linear layers,
    or "all-linear".
    """

    rank: Annotated[int, Field(ge=1)] = 16
    alpha: Annotated[float, Field(gt=0)] = 32.0
    targets: str | list[str] = "all-linear"


class ModelConfig(Section):
    """The model, and how it is computed.

    path: folder of a model or of a finished run, or hub name. lora: train adapters only.
    device: "auto" takes a GPU if there is one. dtype: of the weights. autocast: matrix products in
    bfloat16 over weights kept in dtype. threads: of torch on the CPU; None for its default.
    gradient_checkpointing: recompute activations to save memory. parallel: what each of several
    processes holds: "ddp", the whole model; "fsdp", a part of every weight, gradient and optimiser
    state. chat_template_kwargs: arguments of the chat template, such as enable_thinking; they are
    saved with the tokenizer.
    """

    path: Annotated[str, AfterValidator(model_folder)]
    device: str = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    autocast: bool = False
    lora: LoraConfig | None = None
    threads: Annotated[int | None, Field(ge=1)] = None
    gradient_checkpointing: bool = False
    parallel: Literal["ddp", "fsdp"] = "ddp"
    chat_template_kwargs: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _weights_that_small_steps_change(self) -> Self:
        if self.dtype == "bfloat16" and self.lora is None:
            raise ValueError(
                "model.dtype: weights trained in bfloat16 lose small updates to rounding. Fix: keep"
                " float32 and set model.autocast, or train adapters (model.lora)"
            )
        return self


SAMPLERS = {
    "transformers": "srl_agents.policies.loading:Copy",
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
    """What samples: the trained model, vLLM here or in a server, or your own policy.

    sampler: "transformers" (the model itself), "vllm", "vllm-server", or your own policy, as
    FILE.py or module:Class. engine: further arguments of ``vllm.LLM``, or of your own policy.
    sampler_correction: the objective's ``sampler_correction`` if another engine than the trained
    model samples, or earlier weights, for stages that set none; None trusts the engine's log-probs.
    rows: completions that vLLM samples at once.
    base_url: the server for "vllm-server", as http://localhost:8000; or a list of servers that
    sample ahead of the updates.
    """

    sampler: Annotated[str, AfterValidator(_sampler)] = "transformers"
    sampler_correction: SamplerCorrection | None = "token-tis"
    rows: Annotated[int, Field(ge=1)] = 256
    engine: dict[str, Any] = Field(default_factory=dict)
    base_url: str | list[str] | None = None

    @property
    def base_urls(self) -> list[str]:
        """The addresses of its servers."""
        urls = [self.base_url] if isinstance(self.base_url, str) else self.base_url or []
        return [url.rstrip("/").removesuffix("/v1") for url in urls]

    @model_validator(mode="after")
    def _a_server_or_none(self) -> Self:
        if self.sampler != "vllm-server":
            if self.base_url is not None:
                raise ValueError(
                    "policy.base_url: only a server has one. Fix: set policy.sampler to"
                    " 'vllm-server'"
                )
        elif not self.base_urls:
            raise ValueError(
                "policy.base_url: the sampler 'vllm-server' needs the server's address, as"
                " http://localhost:8000"
            )
        elif twice := [url for url, n in Counter(self.base_urls).items() if n > 1]:
            raise ValueError(
                f"policy.base_url must name each server once; got {twice[0]} several times"
            )
        elif self.engine:
            raise ValueError(
                f"policy.engine must be empty for a server; got {', '.join(self.engine)}. Fix: pass"
                " these options to 'vllm serve'"
            )
        return self


class RolloutConfig(Section):
    """What runs the episodes.

    engine: this process ("local"), or Ray's actors ("ray"). job_groups: groups that run together as
    a job. With the same number, one process and any number of workers give the same run. None
    means 8 for ray, and all at once for local, which is fastest; ahead of the updates, at most 8,
    so that every worker has a job.
    max_staleness: how many updates old the weights of a sample may be that is trained on. 0 samples
    and updates in turn. Above 0 ``workers`` sample ahead while the model is updated, each in a
    thread of this process with its own environments and copy of the model, or in an actor.
    continue_episodes: whether an episode continues under new weights. Otherwise a worker takes them
    when its job is done.
    workers: actors, each with its own processor, environments and policy; or threads that sample
    ahead. gpus: of each worker; a fraction is allowed. address: of a running cluster, as for
    ``ray.init``; None starts one here.
    deadline_s: for one job, and for a worker's start; a worker that misses it is replaced.
    retries: how often a lost job is reissued before its episodes count as failed.
    """

    engine: Literal["local", "ray"] = "local"
    job_groups: Annotated[int | None, Field(ge=1)] = None
    max_staleness: Annotated[int, Field(ge=0)] = 0
    continue_episodes: bool = False
    workers: Annotated[int, Field(ge=1)] = 2
    gpus: Annotated[float, Field(ge=0)] = 0.0
    address: str | None = None
    deadline_s: Annotated[float, Field(gt=0)] = 1800.0
    retries: Annotated[int, Field(ge=0)] = 2

    @model_validator(mode="after")
    def _continues_if_weights_change(self) -> Self:
        if self.continue_episodes and not self.max_staleness:
            raise ValueError(
                "rollout.continue_episodes: weights change between updates alone. Fix: set"
                " rollout.max_staleness above 0"
            )
        return self

    @property
    def groups_per_job(self) -> int | None:
        """How many groups make a job; None for all."""
        return self.job_groups or (_RAY_JOB if self.engine == "ray" else None)


class BudgetConfig(Section):
    """How long the whole run may be: exactly one of the three.

    updates: how many. seconds: of sampling, rewards, updates and probes; checkpoints, logs and
    start-up do not count. tokens: positions that go through the network: 3 for one that is trained
    on (a forward and a backward pass), 1 for one that is sampled, read or scored. Evaluations do
    not count.
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


class OptimizerConfig(Section):
    """AdamW, new for every stage; the learning rate is the stage's.

    betas: of stages that set none. eps: AdamW's ε. weight_decay: of matrices. max_grad_norm:
    the largest norm of a gradient. micro_batch_tokens: how many tokens go through the model at
    once; the gradient does not depend on it.
    """

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    micro_batch_tokens: Annotated[int, Field(ge=1)] = 4096


class LogConfig(Section):
    """What is written besides ``metrics.jsonl``; 0 turns an item off.

    tensorboard: also write TensorBoard files. tracker: also log to it. rollouts_every: write
    episodes to ``rollouts/`` every this many updates. rollouts_kept: at most this many
    episodes each time. warn_after: warn after this many updates in a row without a group to train
    on. kl_every: measure the KL to the run's first weights every this many updates, which keeps a
    copy of them in memory.
    """

    tensorboard: bool = True
    tracker: Literal["wandb", "trackio"] | None = None
    rollouts_every: Annotated[int, Field(ge=0)] = 10
    rollouts_kept: Annotated[int, Field(ge=1)] = 16
    warn_after: Annotated[int, Field(ge=0)] = 5
    kl_every: Annotated[int, Field(ge=0)] = 20


class CheckpointConfig(Section):
    """When checkpoints are written.

    every: updates between two checkpoints. keep: how many of the last ones stay.
    """

    every: Annotated[int, Field(ge=1)] = 50
    keep: Annotated[int, Field(ge=1)] = 2


class RunConfig(Section):
    """One training run.

    env, envs: the environment, or several from which the run draws its starts. out: the run's
    folder. seed: of everything random. method: a registered name, your own as module:NAME, or a
    list of stages, and of names of methods whose stages follow each other. train: changes to every
    stage that has the field. stages: changes to one stage, by its name.
    evaluation: evaluations during the run; None for none.
    """

    out: str
    env: EnvConfig | None = None
    envs: tuple[WeightedEnvConfig, ...] = ()
    model: ModelConfig
    budget: BudgetConfig
    method: str | list[str | dict[str, Any]] = "srl-rlvr"
    seed: Annotated[int, Field(ge=0)] = 0
    train: dict[str, Any] = Field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = Field(default_factory=dict)
    policy: PolicyConfig = PolicyConfig()
    rollout: RolloutConfig = RolloutConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    log: LogConfig = LogConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    evaluation: TrainingEvaluationConfig | None = None

    @model_validator(mode="after")
    def _a_server_and_no_workers(self) -> Self:
        if self.rollout.engine == "ray" and self.policy.sampler == "vllm-server":
            raise ValueError(
                "rollout.engine: Ray's workers do not sample from a server. Fix: set policy.sampler"
                " to 'vllm', which gives each an engine, or rollout.engine to 'local'"
            )
        return self

    @model_validator(mode="after")
    def _several_servers_sample_ahead(self) -> Self:
        if len(self.policy.base_urls) > 1 and not self.rollout.max_staleness:
            raise ValueError(
                "policy.base_url must be one server where rollout.max_staleness is 0; got"
                f" {len(self.policy.base_urls)}. Fix: set rollout.max_staleness to 1 or more"
            )
        return self

    @model_validator(mode="after")
    def _names_of_environments_differ(self) -> Self:
        if self.env is not None and self.envs:
            raise ValueError("env and envs: give one of them, [env] or several [[envs]]")
        if len(self.environments) < len(self.envs):
            names = [each.name or each.id for each in self.envs]
            raise ValueError(f"envs must have names that differ; got {names}. Fix: set envs.name")
        return self

    @property
    def environments(self) -> dict[str, EnvConfig]:
        """{name: environment}; the name of the only one is ""."""
        if self.env is not None:
            return {"": self.env}
        return {each.name or each.id: each for each in self.envs}

    @cached_property
    def resolved_method(self) -> Method:
        """The method with this configuration's changes to its stages."""
        return self.method_at("")

    @property
    def samples(self) -> bool:
        """Whether a stage samples completions."""
        return any(stage.objective.samples for stage in self.resolved_method.stages)

    @property
    def samples_ahead(self) -> bool:
        """Whether workers sample while the model is updated."""
        return self.rollout.max_staleness > 0 and self.samples

    @property
    def needs_reference(self) -> bool:
        """Whether the run compares with its first weights, in the loss or in the log."""
        objectives = [stage.objective for stage in self.resolved_method.stages]
        compared = any(objective.needs_reference for objective in objectives)
        return self.log.kl_every > 0 or compared or "start" in self.teachers

    @property
    def teachers(self) -> tuple[str, ...]:
        """The teachers that its stages ask for; see ``TeacherRequest.weights``."""
        requests = [stage.objective.teacher_request for stage in self.resolved_method.stages]
        return tuple(dict.fromkeys(each.weights for each in requests if each is not None))

    def method_at(self, where: str) -> Method:
        """``resolved_method``; errors name keys below the dotted place ``where``."""
        own = self.policy.sampler == "transformers" and not self.rollout.max_staleness
        correction = None if own else self.policy.sampler_correction
        return resolved(self.method, self.train, self.stages, correction, where)


def make_config(tree: Tree, where: str = "") -> RunConfig:
    """The configuration from nested dictionaries, with its method, checked.

    where: the dotted place of the tree, for messages. Raises UnknownName for an unknown key, method
    or stage, BadOption for a value that is not allowed.
    """
    config = validated(RunConfig, without_off(tree), where)
    if not config.environments:
        raise missing(dotted(where, "env"))
    for stage in config.method_at(where).stages:
        if config.rollout.max_staleness and stage.objective.needs_correction:
            key = dotted(where, f"stages.{stage.name}.objective.sampler_correction")
            raise BadOption(
                f"{key} must be set where rollout.max_staleness is above 0; got none. Fix: leave"
                " both it and policy.sampler_correction at their defaults, or choose an objective"
                " that has one"
            )
        for name in stage.envs:
            if name not in config.environments or not config.envs:
                raise UnknownName(f"environment of stage {stage.name!r}", name, config.environments)
        if stage.auxiliary is not None and config.envs:
            raise BadOption(
                f"{dotted(where, f'stages.{stage.name}.auxiliary')} must have one environment; got"
                f" {len(config.envs)}. Fix: set env, or choose a method without a second objective"
            )
    return config


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """The configuration in a TOML or JSON file, with ``key.key=value`` overrides on top."""
    return make_config(with_overrides(read_tree(path), overrides))

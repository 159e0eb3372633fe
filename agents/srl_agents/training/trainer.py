"""Training runs: a configuration in, a folder with a trained model out.

    result = train(make_config({"out": "runs/first", "env": {"id": "srl/ModularChain-v0"}, …}))

The way of one update: starts → rollout → groups → advantages → loss → optimiser step. Around it
this module counts what is used, asks the ``stage_clock`` when a stage is over, writes the
log, and keeps checkpoints from which a killed run goes on. Under a launcher each process runs all
of this and the main one writes; see ``srl_agents.parallel.team``. The folder holds ``config.json``,
``metrics.jsonl``, ``rollouts.jsonl``, ``tensorboard/``, ``checkpoints/`` and at the end
``model/``, an ordinary Hugging Face folder; where a server samples, also the weights it has.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from srl_agents.collection.cached_problems import CachedSource
from srl_agents.collection.collector import Collector
from srl_agents.collection.demonstrations import demonstrations
from srl_agents.collection.ray.workers import ray_workers
from srl_agents.collection.runners import LocalRollouts, Rollouts
from srl_agents.methods.budget import optimizer_steps, why_informative
from srl_agents.methods.stages import GRPO, NLL, Stage
from srl_agents.methods.starts import StartSampler
from srl_agents.objectives.groups import Batch, agreed, make_batch, signals
from srl_agents.objectives.metrics import Metrics
from srl_agents.objectives.no_signal import why_no_group
from srl_agents.parallel.team import ALONE, Team
from srl_agents.policies.engines import load_engine
from srl_agents.policies.trained import load_policy, load_reference
from srl_agents.runs.checkpoint import TrainerState, checkpoints, load_state
from srl_agents.runs.config import PolicyConfig, RunConfig
from srl_agents.runs.environment import make_env
from srl_agents.runs.problem_file import indices_of
from srl_agents.training.learner import Learner, TrainingDiverged
from srl_agents.training.log import RunLog
from srl_agents.training.progress import Progress, TrainResult
from srl_agents.training.retokenization import drift_fraction, find_drifts
from srl_agents.training.saving import Saver
from srl_agents.training.stage_clock import Position, StageClock
from srl_env.environment import ReasoningEnv
from srl_env.rollout import EnvPool, Episode
from srl_env.seeding import derive_seed

if TYPE_CHECKING:
    from srl_agents.training.progress import OnProgress


_log = logging.getLogger(__name__)


class Trainer:
    """One run, from its configuration and perhaps a checkpoint; or this process's part in it."""

    def __init__(self, config: RunConfig, checkpoint: Path | None, team: Team = ALONE) -> None:
        self.config, self.folder, self.team = config, Path(config.out), team
        self.clock = StageClock(config.resolved_method.stages, config.budget.whole)
        self.env = make_env(config.env)
        file = config.env.problems
        self.only = None if file is None else indices_of(Path(file), self.env.problems)
        self.policy = load_policy(config.model, config.seed, checkpoint, team)
        self.workers = ray_workers(config, self.policy, team) if _on_ray(config) else None
        here = config.policy if self.workers is None else PolicyConfig()
        self.engine = load_engine(here, config.model, config.seed, self.policy, self.folder, team)
        self.sampler = self.engine or self.policy
        self.env.problems = CachedSource(self.env.problems)
        self.collector = Collector(self._rollouts(), config.seed, team)
        asked = _asks_for_kl(config)
        reference = load_reference(config.model, self.policy, team) if asked else None
        self.learner = Learner(
            self.policy.model,
            config.optimizer,
            autocast=config.model.autocast,
            decoder=self.policy.decoder,
            reference=reference,
            team=team,
        )
        self.saver = Saver(config, team, self.policy, self.sampler, self.learner)
        self.learner.optimizer = self.learner.fresh_optimizer(self.stage.betas)
        self.starts = self._starts(self.stage, config.seed, self.stage.name)
        self.log_offsets: dict[str, int] = {}
        if checkpoint is not None:
            self._restore(load_state(checkpoint))

    @property
    def stage(self) -> Stage:
        """The stage at hand."""
        return self.clock.stage

    @property
    def position(self) -> Position:
        """Where the run is."""
        return self.clock.position

    def run(self, interrupted: threading.Event, on_progress: OnProgress) -> TrainResult:
        """Updates until the budget is spent or ``interrupted`` is set; then saves."""
        metrics: Metrics = {}
        reason = None
        with self.saver.open_log(self.log_offsets, self.position.usage.updates) as log:
            while not self.team.any(interrupted.is_set()):
                if (reason := self._run_end_reason(log)) is not None:
                    break
                metrics = self._update(log)
                on_progress(self._progress(metrics))
                if self.position.usage.updates % self.config.checkpoint.every == 0:
                    self._save(log)
            self._save(log)
            if reason is not None:
                self._end_stage(log, reason)
        return TrainResult(
            folder=self.folder,
            model=None if reason is None else self.saver.save_model(),
            usage=self.position.usage,
            stages=tuple(self.position.ended),
            metrics=metrics,
            warnings=tuple(self.position.warnings.values()),
        )

    def close(self) -> None:
        """Closes the environments, whatever worlds stand behind them, and the engine."""
        self.collector.rollouts.close()
        self.env.close()
        if self.engine is not None:
            self.engine.close()

    def _update(self, log: RunLog) -> Metrics:
        """One update of the current stage: sampled or demonstrated, learned from, logged."""
        stage, number = self.stage, self.position.usage.updates + 1
        began = time.perf_counter()
        if isinstance(stage.objective, NLL):
            metrics, tokens, score = self._imitate(stage, stage.objective)
        else:
            metrics, tokens, score = self._reinforce(stage, stage.objective, log)
        # A fused optimiser does not show on the parameters. And where nothing was learned, what is
        # kept of earlier prompts has last bits that a resumed run would not have.
        self.policy.weights_changed()
        self.position.count(self.team.broadcast(time.perf_counter() - began), tokens, score)
        usage = self.position.usage
        metrics |= {"seconds": usage.seconds, "tokens": float(usage.tokens)}
        log.metrics(number, stage.name, metrics)
        if isinstance(stage.objective, GRPO):
            self._note_groups(stage.objective, metrics, log)
        return metrics

    def _note_groups(self, objective: GRPO, metrics: Metrics, log: RunLog) -> None:
        """Warns, once in a stage, where so many updates in a row kept no group."""
        position, most, stage = self.position, self.config.log.warn_after, self.stage.name
        if stage in position.warnings or not most:
            return
        position.without = [] if metrics["groups/trained"] else [*position.without, metrics][-most:]
        if len(position.without) < most:
            return
        last = position.usage.updates
        why = why_no_group(position.without, objective, self.env.format.instructions)
        warning = (
            f"stage {stage!r}: updates {last - most + 1} to {last} kept no group, so nothing was"
            f" learned from them. {why}"
        )
        position.warnings[stage] = warning
        log.event(last, stage, "warning", warning)
        if self.team.main:
            _log.warning("warning: %s", warning)

    def _reinforce(self, stage: Stage, objective: GRPO, log: RunLog) -> tuple[Metrics, int, float]:
        """A GRPO update: its metrics, the tokens sampled, and the mean reward."""
        number, every = self.position.usage.updates + 1, self.config.log
        collected = self.collector.fill(objective, self.starts, stage.batch, "train", number)
        metrics = {**collected.metrics(), **self._drift(collected.episodes, log)}
        metrics |= self.collector.rollouts.metrics()
        if collected.kept:
            kept, max_steps = collected.kept, objective.max_steps or self.env.max_steps
            parts, share = optimizer_steps(len(kept), stage.batch, objective.minibatches)
            batches = [make_batch(kept[i::parts], objective, max_steps) for i in range(parts)]
            measure_kl = bool(every.kl_every) and number % every.kl_every == 0
            alike = None if objective.max_drop is None else agreed(collected.groups)
            metrics |= self._learn(batches, objective, measure_kl, alike, share)
        if every.rollouts_every and (number - 1) % every.rollouts_every == 0:
            episodes = collected.episodes[: every.rollouts_kept]
            shown = {episode.group for episode in episodes}
            groups = [group for group in collected.groups if group.start in shown]
            found = signals(groups, collected.kept, objective)
            log.rollouts(number, stage.name, episodes, found)
        return metrics, collected.tokens, metrics.get("reward", 0.0)

    def _drift(self, episodes: Sequence[Episode], log: RunLog) -> Metrics:
        """The share of turns whose prompt drifted; each reason is logged the first time."""
        share = drift_fraction(episodes)
        if share:
            for drift in (d for each in episodes for d in find_drifts(each, self.policy.tokenizer)):
                if drift.reason not in self.position.drifts:
                    self.position.drifts.append(drift.reason)
                    log.event(self.position.usage.updates, self.stage.name, "drift", str(drift))
        return {} if share is None else {"drift_fraction": share}

    def _imitate(self, stage: Stage, objective: NLL) -> tuple[Metrics, int, float]:
        """A fine-tuning update: its metrics, the tokens trained on, and their mean log-prob."""
        began = time.perf_counter()
        points = self.starts.draw(stage.batch)
        seed = derive_seed("demonstrations", self.config.seed, self.position.usage.updates)
        batch = demonstrations(self.env, self.policy, points, objective, seed)
        metrics = {"time/environment": time.perf_counter() - began}
        metrics |= self._learn([batch], objective)
        return metrics, batch.tokens, -metrics["loss"]

    def _learn(
        self,
        batches: Sequence[Batch],
        objective: GRPO | NLL,
        measure_kl: bool = False,
        alike: Batch | None = None,
        share: float = 1.0,
    ) -> Metrics:
        began = time.perf_counter()
        try:
            numbers = self.learner.update(
                batches, objective, self.clock.learning_rate(), measure_kl, alike, share
            )
        except TrainingDiverged as error:
            raise TrainingDiverged(
                f"update {self.position.usage.updates + 1}: {error}. {_last_good(self.folder)};"
                " a lower learning rate may help"
            ) from None
        seconds = time.perf_counter() - began
        tokens = sum(batch.tokens for batch in batches)
        timed = {"time/update": seconds, "tokens_per_s/update": tokens / seconds}
        return {**numbers, **timed, **self._push_weights()}

    def _push_weights(self) -> Metrics:
        """Hands the new weights to whoever samples with a copy of them; the seconds that took."""
        receivers = [each for each in (self.engine, self.workers) if each is not None]
        if not receivers:
            return {}
        began = time.perf_counter()
        for receiver in receivers:
            receiver.push_weights(self.policy.model)
        return {"time/push": time.perf_counter() - began}

    # When a stage is over

    def _run_end_reason(self, log: RunLog) -> str | None:
        """Why the last stage is over, None while it is not; begins the next where another is."""
        while (reason := self._stage_end_reason()) is not None:
            if self.clock.last:
                return reason
            self._end_stage(log, reason)
            self.clock.begin_next()
            self.starts = self._starts(self.stage, self.config.seed, self.stage.name)
            self.learner.optimizer = self.learner.fresh_optimizer(self.stage.betas)
        return None

    def _end_stage(self, log: RunLog, reason: str) -> None:
        self.position.ended.append((self.stage.name, reason))
        log.event(self.position.usage.updates, self.stage.name, "stage_end", reason)

    def _stage_end_reason(self) -> str | None:
        reason = self.clock.stage_end_reason()
        if reason is None and self.clock.probe_due():
            return why_informative(self.stage.until, self._probe())
        return reason

    def _probe(self) -> float:
        """The share of the next stage's groups that would carry a signal now."""
        began = time.perf_counter()
        following, number = self.clock.following, self.position.usage.updates
        assert isinstance(following.objective, GRPO), "configuration checks this"
        once = replace(following.objective, max_groups=1.0)
        starts = self._starts(following, "probe", self.config.seed, number)
        found = self.collector.fill(once, starts, self.stage.until.probe_groups, "probe", number)
        seconds = self.team.broadcast(time.perf_counter() - began)
        self.position.usage = self.position.usage.plus(seconds, found.tokens)
        return found.informative_fraction

    def _progress(self, metrics: Metrics) -> Progress:
        """The whole run's progress, and what may be looked at between updates."""
        usage = self.position.usage
        policy = self.sampler if self.learner.sharded else self.policy
        return Progress(usage.updates, self.stage.name, self.clock.share(), usage, metrics, policy)

    def _rollouts(self) -> Rollouts:
        if self.workers is not None:
            return self.workers
        at_once = self.config.rollout.groups_per_job
        return LocalRollouts(EnvPool(self._another_env), self.sampler, at_once)

    def _another_env(self) -> ReasoningEnv:
        env = make_env(self.config.env)
        env.problems = self.env.problems
        return env

    def _starts(self, stage: Stage, *key: str | int) -> StartSampler:
        return StartSampler(self.env.problems, stage.starts, key, self.only)

    # Saving and going on

    def _save(self, log: RunLog) -> None:
        """A checkpoint of this moment, between two updates."""
        counters = {
            "position": asdict(self.position),
            "starts": self.starts.state(),
            "log_offsets": log.durable_offsets(),
        }
        self.saver.save(self.position.usage.updates, counters)

    def _restore(self, state: TrainerState) -> None:
        """Goes back to the moment a checkpoint was taken."""
        self.clock.position = Position.from_json(state.counters["position"])
        self.starts = self._starts(self.stage, self.config.seed, self.stage.name)
        self.starts.restore(state.counters["starts"])
        self.log_offsets = state.counters["log_offsets"]
        self.saver.restore(state.tensors)


def _on_ray(config: RunConfig) -> bool:
    sampled = any(isinstance(stage.objective, GRPO) for stage in config.resolved_method.stages)
    return config.rollout.engine == "ray" and sampled


def _asks_for_kl(config: RunConfig) -> bool:
    objectives = [stage.objective for stage in config.resolved_method.stages]
    in_loss = any(isinstance(each, GRPO) and each.kl > 0 for each in objectives)
    return in_loss or config.log.kl_every > 0


def _last_good(folder: Path) -> str:
    found = checkpoints(folder / "checkpoints")
    return f"The last good state is {found[-1]}" if found else "No checkpoint was written yet"

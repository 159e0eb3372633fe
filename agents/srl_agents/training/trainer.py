"""Training runs: a configuration in, a folder with a trained model out.

    result = train(make_config({"out": "runs/first", "env": {"id": "srl/ModularChain-v0"}, …}))

One update goes from starts to rollouts, groups, advantages, loss and optimiser step. Around it this
module counts usage, asks the ``stage_clock`` when a stage ends, writes the log, and saves
checkpoints from which a killed run resumes. Under a launcher each process runs all of this, and the
main one writes; see ``srl_agents.parallel.team``. The folder holds ``config.json``,
``metrics.jsonl``, ``rollouts/``, ``tensorboard/``, ``checkpoints/`` and at the end ``model/``,
an ordinary Hugging Face folder, with its card, ``README.md``. With evaluations during the run,
``best/`` is another. If a server samples, it also holds the server's weights.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from srl_agents.collection.collector import TRAIN, Collector
from srl_agents.collection.environments import Environments
from srl_agents.collection.samplers import load_samplers
from srl_agents.collection.teacher_prompts import with_teacher_prompts
from srl_agents.methods.budget import why_informative
from srl_agents.methods.mixed.buffer import Buffer
from srl_agents.methods.mixed_starts import AnyStarts
from srl_agents.methods.stages import Stage, Starts
from srl_agents.objectives.base import Objective
from srl_agents.objectives.batch import Batch, TrainingBatches
from srl_agents.objectives.metrics import Metrics
from srl_agents.parallel.team import ALONE, Team
from srl_agents.policies.teachers import load_teachers
from srl_agents.policies.trained import load_policy, load_reference
from srl_agents.runs.checkpoint import TrainerState, checkpoints, load_state
from srl_agents.runs.config import RunConfig
from srl_agents.training.evaluations import BEST, Evaluations
from srl_agents.training.learner import Learner, TrainingDiverged
from srl_agents.training.log import RunLog
from srl_agents.training.positions import Positions, sampling_positions
from srl_agents.training.progress import Progress, TrainResult
from srl_agents.training.retokenization import drift_fraction, find_drifts
from srl_agents.training.saving import Saver
from srl_agents.training.stage_clock import Position, StageClock
from srl_env.rollout import Episode

if TYPE_CHECKING:
    from torch import Tensor

    from srl_agents.training.progress import OnProgress


_log = logging.getLogger(__name__)


class Trainer:
    """One run, from its configuration or a checkpoint; or this process's part in it."""

    def __init__(self, config: RunConfig, checkpoint: Path | None, team: Team = ALONE) -> None:
        self.config, self.folder, self.team = config, Path(config.out), team
        self.clock = StageClock(config.resolved_method.stages, config.budget.whole)
        self.envs = Environments(config)
        self.policy = load_policy(config.model, config.seed, checkpoint, team)
        if team.main:
            _log.info("Computation: %s", self.policy.decoder.path)
        self.samplers = load_samplers(config, self.envs, self.policy, team)
        self.collector = Collector(
            self.samplers.rollouts,
            config.seed,
            team,
            partial(self.envs.demonstrations, self.policy),
            partial(self.envs.experts, self.envs.pools(), self.policy),
            partial(self.envs.measured, self.policy, self._score),
            partial(self.envs.examples, self.policy),
            self.envs.options,
        )
        compares = config.needs_reference
        reference = load_reference(config.model, self.policy, team) if compares else None
        teachers = load_teachers(config.teachers, config.model, self.policy, reference, team)
        self.positions = Positions()
        self.learner = Learner(
            self.policy.model,
            config.optimizer,
            autocast=config.model.autocast,
            decoder=self.policy.decoder,
            reference=reference,
            teachers=teachers,
            team=team,
            positions=self.positions,
        )
        self.saver = Saver(config, team, self.policy, self.samplers.policy, self.learner)
        self.learner.optimizer = self.learner.fresh_optimizer(self.stage.betas)
        self._begin_starts()
        self.evaluations = Evaluations(config, team)
        self.log_offsets: dict[str, int] = {}
        if checkpoint is not None:
            self._restore(load_state(checkpoint))
        self.samplers.begin()

    @property
    def stage(self) -> Stage:
        """The current stage."""
        return self.clock.stage

    @property
    def position(self) -> Position:
        """Where the run is."""
        return self.clock.position

    def run(self, interrupted: threading.Event, on_progress: OnProgress) -> TrainResult:
        """Updates until the budget is used up or ``interrupted`` is set; then saves."""
        metrics: Metrics = {}
        reason = None
        with self.saver.open_log(self.log_offsets, self.position.usage.updates) as log:
            while not self.team.any(interrupted.is_set()):
                if self.evaluations.due(self.position):
                    self._evaluate(log)
                    self._save(log)
                if (reason := self._run_end_reason(log)) is not None:
                    break
                metrics = self._update(log)
                on_progress(self._progress(metrics))
                if self._checkpoint_due():
                    self._save(log)
            if reason is not None and self.evaluations.due(self.position, ended=True):
                self._evaluate(log)
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
            best=self.evaluations.best(self.position),
        )

    def close(self) -> None:
        """Closes what samples, and the environments with their worlds."""
        self.samplers.close()
        self.envs.close()

    def _update(self, log: RunLog) -> Metrics:
        """One update of the current stage: collected, trained on, logged."""
        number, began = self.position.usage.updates + 1, time.perf_counter()
        self.starts.progress = self.clock.stage_fraction()
        stage, objective = self.stage, self.stage.objective.at(self.starts.progress)
        source = self.collector.source(self.starts, stage.batch, TRAIN, number)
        collected = objective.collect(self.samplers.source(source))
        self.positions.add("sample", sampling_positions(collected.episodes))
        self.positions.add("profile", sampling_positions(collected.profiled))
        self.positions.add("dropped", sampling_positions(collected.dropped))
        metrics = {**collected.metrics(), **self._drift(collected.episodes, log)}
        metrics |= self.collector.rollouts.metrics()
        data = objective.training_batches(collected, stage.batch, self.envs.max_steps)
        if data is not None:
            data = with_teacher_prompts(data, collected, objective, self.envs.all, self.policy)
            metrics |= self._learn(data, objective, self.clock.learning_rate())
        metrics |= self._auxiliary(number)
        if data is not None or "auxiliary/loss" in metrics:
            metrics |= self.samplers.end_update()
        every = self.config.log.rollouts_every
        if collected.episodes and every and (number - 1) % every == 0:
            episodes = collected.episodes[: self.config.log.rollouts_kept]
            log.rollouts(number, stage.name, episodes, objective.signals(collected))
        # A fused optimiser does not mark the parameters as changed. And if nothing was learned, a
        # resumed run would not have the cached prompts, whose last bits depend on their batch.
        self.policy.weights_changed()
        seconds = self.team.broadcast(time.perf_counter() - began)
        counts = self.positions.take()
        self.position.count(seconds, sum(counts.values()), objective.score(metrics))
        usage = self.position.usage
        metrics |= {f"tokens/{phase}": float(count) for phase, count in counts.items() if count}
        metrics |= {"seconds": usage.seconds, "tokens": float(usage.tokens)}
        metrics |= self.samplers.metrics(seconds)
        log.metrics(number, stage.name, metrics)
        second = "auxiliary/loss" in metrics or metrics.get("auxiliary/held")
        self._note_untrained(data is None and not second, metrics, log)
        return metrics

    def _evaluate(self, log: RunLog) -> None:
        """Scores the policy on held-out problems, and keeps it if no earlier one was better."""
        if self.evaluations.run(self.samplers.policy, self.position, self.stage.name, log):
            self.saver.save_model(BEST)
        self.samplers.forget()

    def _note_untrained(self, untrained: bool, metrics: Metrics, log: RunLog) -> None:
        """Warns, once per stage, after several updates in a row that trained on nothing."""
        position, most, stage = self.position, self.config.log.warn_after, self.stage
        if stage.name in position.warnings or not most:
            return
        position.untrained = [*position.untrained, metrics][-most:] if untrained else []
        if len(position.untrained) < most:
            return
        last = position.usage.updates
        asked = self.envs.instructions(stage, self.policy.native_tools)
        why = stage.objective.why_untrained(position.untrained, asked)
        warning = (
            f"stage {stage.name!r}: updates {last - most + 1} to {last} had no group to train on,"
            f" so nothing was learned from them. {why}"
        )
        position.warnings[stage.name] = warning
        log.event(last, stage.name, "warning", warning)
        if self.team.main:
            _log.warning("warning: %s", warning)

    def _drift(self, episodes: Sequence[Episode], log: RunLog) -> Metrics:
        """The fraction of turns whose prompt drifted; each reason is logged the first time."""
        fraction = drift_fraction(episodes)
        if fraction:
            for drift in (d for each in episodes for d in find_drifts(each, self.policy.tokenizer)):
                if drift.reason not in self.position.drifts:
                    self.position.drifts.append(drift.reason)
                    log.event(self.position.usage.updates, self.stage.name, "drift", str(drift))
        return {} if fraction is None else {"drift_fraction": fraction}

    def _auxiliary(self, number: int) -> Metrics:
        """A step of the stage's second objective, if its buffer is due."""
        buffer = self.buffer
        if buffer is None:
            return {}
        numbers: Metrics = {}
        if buffer.due(number):
            settings = buffer.settings
            objective = settings.objective.at(self.starts.progress)
            rate = self.clock.learning_rate() if settings.lr is None else settings.lr
            source = self.collector.source(buffer, settings.held, "auxiliary", number)
            collected = objective.collect(source, refill=False)
            self.positions.add("sample", sampling_positions(collected.episodes))
            data = objective.training_batches(collected, settings.held, self.envs.max_steps)
            numbers = {} if data is None else self._learn(data, objective, rate)
        numbers["held"] = float(len(buffer.problems))
        return {f"auxiliary/{name}": number for name, number in numbers.items()}

    def _learn(self, data: TrainingBatches, objective: Objective, lr: float) -> Metrics:
        number, kl_every = self.position.usage.updates + 1, self.config.log.kl_every
        began, measure_kl = time.perf_counter(), bool(kl_every) and number % kl_every == 0
        try:
            numbers = self.learner.update(data, objective, lr, measure_kl)
        except TrainingDiverged as error:
            raise TrainingDiverged(
                f"update {number}: {error}. {_last_good(self.folder)}; a lower learning rate may"
                " help"
            ) from None
        seconds = time.perf_counter() - began
        timed = {"time/update": seconds, "tokens_per_s/update": data.tokens / seconds}
        return {**numbers, **timed, **self.samplers.push()}

    def _score(self, batch: Batch, temperature: float) -> Tensor:
        """Log-probs (B, T) of completions by the current weights."""
        return self.learner.scored(batch, temperature, "likelihood")

    # When a stage is over

    def _run_end_reason(self, log: RunLog) -> str | None:
        """Why the run ends; None while it continues. Begins the next stage if one has ended."""
        while (reason := self._stage_end_reason()) is not None:
            if self.clock.last:
                return reason
            self._end_stage(log, reason)
            self.clock.begin_next()
            self._begin_starts()
            self.learner.optimizer = self.learner.fresh_optimizer(self.stage.betas)
        return None

    def _end_stage(self, log: RunLog, reason: str) -> None:
        self.position.ended.append((self.stage.name, reason))
        log.event(self.position.usage.updates, self.stage.name, "stage_end", reason)

    def _stage_end_reason(self) -> str | None:
        reason = self.clock.stage_end_reason() or self.evaluations.stage_end_reason(self.position)
        if reason is None and self.clock.probe_due():
            return why_informative(self.stage.until, self._probe())
        return reason

    def _probe(self) -> float:
        """The fraction of the next stage's groups that would carry a signal now."""
        began, following = time.perf_counter(), self.clock.following
        number = self.position.usage.updates
        starts = self.starts_of(following, "probe", self.config.seed, number)
        source = self.collector.source(starts, self.stage.until.probe_groups, "probe", number)
        found = following.objective.collect(source, refill=False)
        seconds = self.team.broadcast(time.perf_counter() - began)
        self.positions.add("probe", sampling_positions(found.episodes))
        self.positions.add("profile", sampling_positions(found.profiled))
        tokens = sum(self.positions.take().values())
        self.position.usage = self.position.usage.plus(seconds, tokens)
        return found.informative_fraction

    def _progress(self, metrics: Metrics) -> Progress:
        """The whole run's progress, and the policy to look at between updates."""
        usage = self.position.usage
        policy = self.samplers.policy if self.learner.sharded else self.policy
        return Progress(
            usage.updates, self.stage.name, self.clock.fraction(), usage, metrics, policy
        )

    def _begin_starts(self) -> None:
        """The stage's starts, and the buffer of its second objective."""
        self.starts = self.starts_of(self.stage, self.config.seed, self.stage.name)
        settings = self.stage.auxiliary
        self.buffer = None
        if settings is not None:  # then there is one environment
            self.buffer = Buffer(self.envs.all[""].problems, Starts(), (), settings=settings)
        self.starts.watch = None if self.buffer is None else self.buffer.record

    def starts_of(self, stage: Stage, *key: str | int) -> AnyStarts:
        """A new sampler of the stage's starts; key: what its random stream is for."""
        return self.envs.starts(stage, key)

    # Saving and resuming

    def _checkpoint_due(self) -> bool:
        """Whether to save now; an evaluation that is due is saved with its checkpoint."""
        every = self.config.checkpoint.every
        return self.position.usage.updates % every == 0 and not self.evaluations.due(self.position)

    def _save(self, log: RunLog) -> None:
        """A checkpoint of this moment, between two updates."""
        counters = {
            "position": asdict(self.position),
            "starts": self.starts.state(),
            "buffer": [] if self.buffer is None else self.buffer.problems,
            "log_offsets": log.durable_offsets(),
            "ahead": self.samplers.state(self.starts),
        }
        self.saver.save(self.position.usage.updates, counters)

    def _restore(self, state: TrainerState) -> None:
        """Restores the moment at which a checkpoint was taken."""
        self.clock.position = Position.from_json(state.counters["position"])
        self._begin_starts()
        self.starts.restore(state.counters["starts"])
        if self.buffer is not None:
            self.buffer.problems = state.counters["buffer"]
        self.samplers.restore(state.counters.get("ahead"), self.starts)
        self.log_offsets = state.counters["log_offsets"]
        self.saver.restore(state.tensors)


def _last_good(folder: Path) -> str:
    found = checkpoints(folder / "checkpoints")
    return f"The last good state is {found[-1]}" if found else "No checkpoint was written yet"

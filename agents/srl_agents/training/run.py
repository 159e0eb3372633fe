"""One training run: its inputs checked, its folder locked, Ctrl-C caught."""

from __future__ import annotations

import gc
import json
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from srl_agents.objectives.teacher import OWN_WEIGHTS
from srl_agents.runs.config import RunConfig, make_config
from srl_agents.runs.input_checks import check_inputs
from srl_agents.runs.lock import LOCK, held
from srl_agents.runs.settings import read_tree
from srl_agents.training.progress import TrainResult
from srl_env.errors import BadOption, UserError

if TYPE_CHECKING:
    from srl_agents.parallel.team import Team
    from srl_agents.training.preview import OnPreview, Preview
    from srl_agents.training.progress import OnProgress


def train(
    config: RunConfig,
    *,
    resume: bool = False,
    on_progress: OnProgress | None = None,
    on_preview: OnPreview | None = None,
) -> TrainResult:
    """Runs or resumes the training that the configuration describes.

    resume: continue from the folder's last checkpoint, or from the beginning if there is none.
    on_progress: called after every update. on_preview: called before the first update with samples
    and their numbers (``srl_agents.training.preview``); without it nothing is sampled beforehand.
    Ctrl-C saves and ends the run after the current update; a second one ends it at once. If a
    launcher started several processes, each calls this with the same arguments, and they train
    together.
    Raises BadOption if another process writes the folder, or if it holds a run and ``resume`` is
    not set, or another run. Raises what ``check_inputs`` raises, before there is a folder, and
    TrainingDiverged, CannotWrite, CannotRead and BadData. A user's mistake that is found before
    anything began, such as a model that cannot be read, leaves no folder. If another process of
    the launcher is gone, this one prints a line and ends; see ``srl_agents.parallel.watch``.
    """
    from srl_agents.models.loading import find_device
    from srl_agents.parallel.team import join, launched, until_known
    from srl_agents.runs.checkpoint import remove_drafts

    folder, together = Path(config.out), launched().size > 1
    if not (resume or together):
        _check_inputs(config)
    device = find_device(None if config.model.device == "auto" else config.model.device)
    team = join(device, f"--resume {folder}")
    with until_known(), _own(folder) if team.main else nullcontext():
        if together:
            _check_together(team, config, resume)
        if team.main:
            _claim(folder, config, resume)
            for place in (folder, folder / "checkpoints"):
                remove_drafts(place)
        return _train(config, resume, team, on_progress or (lambda _: None), on_preview)


def sample(config: RunConfig) -> Preview | None:
    """What the run would learn from, without training it or making its folder.

    None if no stage samples. Raises what ``check_inputs`` raises.
    """
    from srl_agents.models.loading import without_notices
    from srl_agents.training.preview import preview
    from srl_agents.training.trainer import Trainer

    _check_inputs(config)
    with TemporaryDirectory() as folder, without_notices():
        trainer = Trainer(config.model_copy(update={"out": folder}), None)
        try:
            return preview(trainer)
        finally:
            trainer.close()


def _train(
    config: RunConfig,
    resume: bool,
    team: Team,
    on_progress: OnProgress,
    on_preview: OnPreview | None,
) -> TrainResult:
    """The training, in a folder that belongs to this run."""
    import torch

    from srl_agents.models.loading import without_notices
    from srl_agents.parallel.agreement import check_same
    from srl_agents.runs.checkpoint import checkpoints
    from srl_agents.runs.files import write_whole
    from srl_agents.training.card import CARD, model_card
    from srl_agents.training.preview import preview
    from srl_agents.training.trainer import Trainer

    team.wait()  # until the folder is this run's
    if config.model.threads is not None:
        torch.set_num_threads(config.model.threads)
    found = checkpoints(Path(config.out) / "checkpoints") if resume else []
    seen = {"last checkpoint": found[-1].name if found else "none"}
    check_same(team, "files", seen, f"keep {config.out} where all machines see it")
    with _interruptible(team.size == 1) as interrupted, without_notices():
        trainer = Trainer(config, found[-1] if found else None, team)
        gc.freeze()  # the garbage collector need not visit all that is loaded again and again
        try:
            if team.any(on_preview is not None) and not found:  # all processes sample for it
                shown = preview(trainer)
                if shown is not None and on_preview is not None:
                    on_preview(shown)
            result = trainer.run(interrupted, on_progress)
        finally:
            gc.unfreeze()
            trainer.close()
    if result.finished and team.main:
        write_whole(Path(config.out) / CARD, model_card(config))
    return result


def _check_together(team: Team, config: RunConfig, resume: bool) -> None:
    """Raises what a single process would, and BadOption if the processes do not fit together."""
    from srl_agents.parallel.agreement import check_same, flat, software

    settings = {**flat(config.model_dump(mode="json")), "resume": resume}
    check_same(team, "settings", settings, "start all with the same command and files")
    check_same(team, "software", software(), "install the same versions on every machine")
    if not resume:
        _check_inputs(config)
    for stage in config.resolved_method.stages:
        if stage.batch < team.size:
            raise BadOption(
                f"the batch of stage {stage.name!r} must have a group for each of {team.size}"
                f" processes; got {stage.batch}. Fix: raise train.batch, or start fewer processes"
            )


def _check_inputs(config: RunConfig) -> None:
    """Raises what ``check_inputs``, ``check_teachers`` and ``check_split`` raise."""
    check_inputs(config)
    if set(config.teachers) - set(OWN_WEIGHTS):
        from srl_agents.policies.teachers import check_teachers

        check_teachers(config.teachers, config.model)
    if config.evaluation is not None:
        from srl_agents.evaluation.split import check_split

        check_split(config, config.evaluation, "evaluation", "this run")


def _claim(folder: Path, config: RunConfig, resume: bool) -> None:
    """Makes the run's folder, or checks that it holds this run, to resume it."""
    file, tree = folder / "config.json", config.model_dump(mode="json")
    if not (file.exists() and (resume or _begun(folder))):
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / ".config.json"
        draft.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
        draft.replace(file)  # whole or not there, whenever the process is killed
        return
    if not resume:
        raise BadOption(
            f"{folder} must not hold a run; got one. Fix: resume it, or choose another folder"
        )
    before = make_config(read_tree(file))  # a setting that is newer than the run has its default
    if changed := _changed(before, config):
        raise BadOption(
            f"{folder} must be resumed with the settings of {file}; got others for"
            f" {', '.join(changed)}"
        )


@contextmanager
def _own(folder: Path) -> Iterator[None]:
    """The folder, held for the block.

    It is removed again if it is new, and a user's mistake ends the block before anything began.
    """
    made = not folder.exists()
    try:
        with held(folder):
            yield
    except UserError:
        if made and folder.is_dir() and not _begun(folder):
            shutil.rmtree(folder)
        raise


def _changed(before: RunConfig, now: RunConfig) -> list[str]:
    """The settings that differ and that a resumed run may not change; a server may have moved."""
    same = before.resolved_method.stages == now.resolved_method.stages
    method = ("method", "train", "stages") if same else ()
    free = ("budget", "checkpoint", "log", "out", "rollout", *method)
    exclude: dict[str, Any] = {**dict.fromkeys(free, True), "policy": {"base_url"}}
    old, new = (config.model_dump(exclude=exclude) for config in (before, now))
    return [name for name in old if old[name] != new[name]]


def _begun(folder: Path) -> bool:
    """Whether a run wrote anything besides what it writes before its first update."""
    before = {"config.json", ".config.json", LOCK}
    names = [path.name for path in folder.iterdir()]
    return any(name not in before and not name.startswith("sampler") for name in names)


@contextmanager
def _interruptible(alone: bool) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second raises KeyboardInterrupt as usual.

    alone: False under a launcher, which passes every Ctrl-C on, so that each arrives twice, and
    which ends its processes itself. Outside the main thread, where signals cannot be caught, the
    event is never set.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.getsignal(signal.SIGINT)

    def on_signal(*_: object) -> None:
        event.set()
        if alone:
            signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, on_signal)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)

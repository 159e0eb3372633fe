"""Whole runs: they learn, repeat, stop, and resume after a kill as if it had not happened."""

from __future__ import annotations

import json
import multiprocessing
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from srl_agents.runs.checkpoint import CannotRead, checkpoints, load_state
from srl_agents.runs.config import RunConfig, make_config
from srl_agents.runs.settings import merged
from srl_agents.training.learner import TrainingDiverged
from srl_agents.training.progress import Progress
from srl_agents.training.run import train
from srl_env.errors import BadData, BadOption, UserError
from tests.srl_agents.letters import left_behind, lines, updates


def configured(tree: dict[str, Any], **changes: Any) -> RunConfig:
    return make_config(merged(tree, changes))


def test_a_tiny_run_learns(tree: dict[str, Any]) -> None:
    config = configured(tree, budget={"updates": 40}, train={"batch": 8})
    train(config)
    rewards = [line["reward"] for line in updates(Path(config.out))]
    assert rewards[0] < 0.4
    assert np.mean(rewards[-5:]) > 0.8


def test_fine_tuning_on_the_outline_learns_it_without_thinking(tree: dict[str, Any]) -> None:
    config = configured(tree, method="sft", budget={"updates": 60})
    train(config)
    losses = [line["loss"] for line in updates(Path(config.out))]
    assert losses[0] > 1.5  # a guess among eight tokens: log 8 = 2.1
    assert losses[-1] < 0.5


def test_equal_settings_give_equal_trajectories_and_another_seed_does_not(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, seed in zip(folders, (0, 0, 1), strict=True):
        train(configured(tree, out=str(folder), seed=seed))
    first, second, other = (left_behind(folder) for folder in folders)
    assert first == second
    assert first["model"] != other["model"]


def test_a_run_trains_on_the_problems_that_a_file_names_alone(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "hard.json").write_text('{"problems": ["c"]}')
    named = {"env": {"problems": str(tmp_path / "hard.json")}}
    config = configured(tree, **named, budget={"updates": 2}, log={"rollouts_every": 1})
    train(config)
    seen = {line["problem_id"] for line in lines(Path(config.out), "rollouts")}
    assert seen == {"c"}
    (tmp_path / "hard.json").write_text('["there is none"]')
    with pytest.raises(BadData, match="hard.json: no problem 'there is none'"):
        train(configured(tree, **named, out=str(tmp_path / "other")))


def test_the_gradient_of_a_run_does_not_depend_on_its_micro_batches(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    norms = []
    for tokens in (64, 100_000):
        config = configured(
            tree,
            out=str(tmp_path / str(tokens)),
            optimizer={"micro_batch_tokens": tokens},
            budget={"updates": 1},
        )
        norms.append(train(config).metrics["grad_norm"])
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)


def test_every_number_that_is_promised_is_logged(tree: dict[str, Any]) -> None:
    config = configured(tree, log={"kl_every": 2, "tensorboard": True})
    result = train(config)
    last = updates(result.folder)[-1]
    promised = {
        "reward",
        "reward/similarity",
        "reward/format",
        "groups/informative_fraction",
        "groups/std",
        "groups/std_in_format",
        "entropy",
        "kl_to_start",
        "length",
        "legal_fraction",
        "success",
        "tokens_per_s/sample",
        "tokens_per_s/environment",
        "tokens_per_s/update",
        "failures",
    }
    assert promised <= set(last)
    assert all(isinstance(last[name], float) for name in promised)
    assert last["sampler_gap"] < 1e-4
    assert list((result.folder / "tensorboard").iterdir())
    assert {line["update"] for line in lines(result.folder, "rollouts")} == {1, 3, 5}


def test_updates_that_harm_unanimous_completions_are_halved_and_logged(
    tree: dict[str, Any],
) -> None:
    changes = {"group_size": 2, "max_tokens": 1, "max_drop": 0.01}  # one pair in eight agrees
    train(configured(tree, train={"objective": changes, "batch": 32}))
    lines = updates(Path(tree["out"]))
    fractions = [line["step_fraction"] for line in lines if "step_fraction" in line]
    assert fractions
    assert min(fractions) < 1


# A coin is a signal that depends on no sampled token: of two episodes one in two groups differs.
COIN = {
    "method": [
        {
            "name": "coin",
            "batch": 8,
            "lr": 1e-3,
            "objective": {
                "reward_mode": "random",
                "group_size": 2,
                "max_groups": 1.0,
                "max_steps": 1,
                "max_tokens": 4,
            },
        }
    ],
    "train": {},
}


def test_the_rate_of_an_update_is_the_fraction_of_the_batch_that_is_trained(
    tree: dict[str, Any],
) -> None:
    config = make_config({**tree, **COIN})
    train(config)
    made = [line for line in updates(Path(config.out)) if line["groups/trained"]]
    assert any(line["groups/trained"] < 8 for line in made)
    assert [line["lr"] for line in made] == pytest.approx(
        [1e-3 * line["groups/trained"] / 8 for line in made]
    )


def test_a_run_leaves_an_ordinary_model_folder(tree: dict[str, Any]) -> None:
    result = train(configured(tree))
    assert result.model is not None
    model = transformers.AutoModelForCausalLM.from_pretrained(result.model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(result.model)
    assert model(torch.tensor([tokenizer.encode("a1,")])).logits.shape[-1] == len(tokenizer)
    assert result.finished
    assert result.usage.updates == 6


def test_stages_follow_one_another_for_reasons_that_are_in_the_log(tree: dict[str, Any]) -> None:
    stages = {
        "srl": {"fraction": 0.5, "until": {"informative": 0.0, "probe_every": 2, "probe_groups": 2}}
    }
    result = train(configured(tree, method="srl-rlvr", stages=stages))
    ends = [line for line in lines(result.folder) if line.get("event") == "stage_end"]
    assert [(line["update"], line["stage"]) for line in ends] == [(2, "srl"), (6, "rlvr")]
    assert "of the probed groups are informative, at least 0" in ends[0]["reason"]
    assert ends[1]["reason"] == "its budget is used up: 4 updates"
    assert result.stages == tuple((line["stage"], line["reason"]) for line in ends)


def test_a_stage_has_its_own_betas_or_those_of_the_run(tree: dict[str, Any]) -> None:
    whole = {"fraction": 0.5, "until": {"informative": None}}
    stages = {"srl": whole, "rlvr": {"betas": [0.8, 0.9]}}
    tree |= {"optimizer": {"betas": [0.5, 0.75]}, "checkpoint": {"every": 2, "keep": 3}}
    result = train(configured(tree, method="srl-rlvr", stages=stages))
    states = [load_state(folder) for folder in checkpoints(result.folder / "checkpoints")]
    found = [state.tensors["optimizer"]["param_groups"][0]["betas"] for state in states]
    assert found == [(0.5, 0.75), (0.8, 0.9), (0.8, 0.9)]


def test_a_time_budget_is_kept(tree: dict[str, Any]) -> None:
    result = train(configured(tree, budget={"updates": None, "seconds": 1.0}))
    longest = np.diff([0.0, *(line["seconds"] for line in updates(result.folder))]).max()
    assert abs(result.usage.seconds - 1.0) < 2 * longest
    assert result.stages == (("srl", "its budget is used up: 1 second"),)


def test_refilled_groups_fill_the_batch_or_reach_the_cap(tree: dict[str, Any]) -> None:
    result = train(configured(tree, train={"objective": {"max_groups": 2.0}}))
    for line in updates(result.folder):
        assert line["groups/trained"] == 4 or line["groups/sampled"] == 8


def test_lora_trains_its_adapters_and_leaves_a_merged_model(
    tree: dict[str, Any], base: Path
) -> None:
    config = configured(tree, model={"lora": {"rank": 4}}, log={"kl_every": 2})
    result = train(config)
    assert result.model is not None
    before = transformers.AutoModelForCausalLM.from_pretrained(base).state_dict()
    after = transformers.AutoModelForCausalLM.from_pretrained(result.model).state_dict()
    assert set(before) == set(after)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not any("norm" in name or "embed" in name for name in moved)
    assert updates(result.folder)[-1]["kl_to_start"] > 0
    saved = checkpoints(result.folder / "checkpoints")[-1]
    assert (saved / "adapter_config.json").exists()


# Going on after an interruption


def start(config: RunConfig) -> multiprocessing.process.BaseProcess:
    """The run (or the rest of it) in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["srl_agents.training.trainer"])
    process = context.Process(target=train, args=(config,), kwargs={"resume": True})
    process.start()
    return process


def kill_once_at(config: RunConfig, update: int) -> None:
    """Runs, and kills as soon as that update is logged; does nothing if the run ends before."""
    process, metrics = start(config), Path(config.out) / "metrics.jsonl"
    while process.is_alive():
        if metrics.exists() and metrics.read_text().count("\n") >= update:
            process.kill()
        time.sleep(0.001)
    process.join()


def test_a_killed_run_ends_as_the_uninterrupted_one(tree: dict[str, Any], tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "method": "srl-rlvr",
        "budget": {"updates": 12},
        "stages": {"srl": {"until": {"informative": 1.0, "probe_every": 1, "probe_groups": 2}}},
        "train": {"starts": {"revisit": 0.5}},
        "checkpoint": {"every": 3},
    }
    whole = configured(tree, out=str(tmp_path / "whole"), **changes)
    train(whole)
    killed = configured(tree, out=str(tmp_path / "killed"), **changes)
    for update in (1, 5, 10):
        kill_once_at(killed, update)
    assert train(killed, resume=True).finished
    assert left_behind(Path(killed.out)) == left_behind(Path(whole.out))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["srl-rlvr", "sft-rlvr"])
@pytest.mark.parametrize("lora", [None, {"rank": 4}])
def test_a_run_killed_at_random_moments_ends_as_the_uninterrupted_one(
    tree: dict[str, Any], tmp_path: Path, method: str, lora: dict[str, Any] | None
) -> None:
    changes: dict[str, Any] = {
        "method": method,
        "budget": {"updates": 40},
        "checkpoint": {"every": 2},
        "model": {"lora": lora},
    }
    whole = configured(tree, out=str(tmp_path / "whole"), **changes)
    train(whole)
    killed = configured(tree, out=str(tmp_path / "killed"), **changes)
    moments = np.random.default_rng(len(method)).uniform(0.5, 4.0, size=25)
    for seconds in moments:
        process = start(killed)
        process.join(seconds)
        process.kill()
        process.join()
    assert train(killed, resume=True).finished
    assert left_behind(Path(killed.out)) == left_behind(Path(whole.out))


def test_ctrl_c_saves_and_the_run_resumes_from_there(tree: dict[str, Any], tmp_path: Path) -> None:
    whole = configured(tree, out=str(tmp_path / "whole"))
    train(whole)

    def interrupt(progress: Progress) -> None:
        if progress.update == 3:
            signal.raise_signal(signal.SIGINT)

    config = configured(tree)
    result = train(config, on_progress=interrupt)
    assert (result.finished, result.model, result.usage.updates) == (False, None, 3)
    assert checkpoints(result.folder / "checkpoints")[-1].name == "update-000003"
    assert train(config, resume=True).usage.updates == 6
    assert left_behind(Path(config.out)) == left_behind(Path(whole.out))


def test_a_second_ctrl_c_ends_the_run_at_once(tree: dict[str, Any]) -> None:
    def interrupt_twice(_: Progress) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(configured(tree), on_progress=interrupt_twice)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_off_the_main_thread_needs_no_signals(tree: dict[str, Any]) -> None:
    thread = threading.Thread(target=train, args=(configured(tree, budget={"updates": 2}),))
    thread.start()
    thread.join()
    assert len(updates(Path(tree["out"]))) == 2


def test_adapters_resume_from_their_checkpoint(tree: dict[str, Any], tmp_path: Path) -> None:
    changes: dict[str, Any] = {"model": {"lora": {"rank": 4}}, "log": {"kl_every": 2}}
    whole = configured(tree, out=str(tmp_path / "whole"), **changes)
    train(whole)
    config = configured(tree, **changes)
    train(
        config, on_progress=lambda p: signal.raise_signal(signal.SIGINT) if p.update == 3 else None
    )
    train(config, resume=True)
    assert left_behind(Path(config.out)) == left_behind(Path(whole.out))


def test_a_finished_run_is_resumed_to_the_same_end_and_with_more_budget_beyond(
    tree: dict[str, Any],
) -> None:
    config = configured(tree)
    train(config)
    end = left_behind(Path(config.out))
    assert train(config, resume=True).finished
    assert left_behind(Path(config.out)) == end
    longer = train(configured(tree, budget={"updates": 8}), resume=True)
    assert longer.usage.updates == 8
    assert [line["update"] for line in updates(longer.folder)] == list(range(1, 9))


def test_a_folder_with_a_run_is_not_written_over(tree: dict[str, Any]) -> None:
    train(configured(tree, budget={"updates": 1}))
    with pytest.raises(BadOption, match="must not hold a run; got one. Fix: resume it"):
        train(configured(tree))


def test_a_run_that_could_not_begin_is_mended_in_its_folder(tree: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="nowhere"):
        train(configured(tree, model={"path": "nowhere"}))
    assert train(configured(tree, budget={"updates": 1})).finished


def test_a_run_without_a_signal_is_resumed_to_the_bit(tree: dict[str, Any], tmp_path: Path) -> None:
    changes: dict[str, Any] = {"log": {"rollouts_every": 1}, "budget": {"updates": 4}}
    changes["train"] = {"objective": {"max_groups": 1.0, "min_std": 10.0}}  # none is kept
    whole, part = (configured(tree, out=str(tmp_path / name), **changes) for name in ("a", "b"))
    train(whole)
    train(part.model_copy(update={"budget": part.budget.model_copy(update={"updates": 2})}))
    train(part, resume=True)
    assert not any(line["groups/trained"] for line in updates(Path(whole.out)))
    assert left_behind(Path(part.out)) == left_behind(Path(whole.out))


def test_updates_in_a_row_without_a_group_are_warned_of_once_also_over_a_resumption(
    tree: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    none = {"objective": {"max_groups": 1.0, "min_std": 10.0}}
    found = {}
    for name, ends in {"whole": (7,), "resumed": (3, 7), "asked later": (4,)}.items():
        for end in ends:
            changes = {"train": none, "budget": {"updates": end}, "out": str(tmp_path / name)}
            result = train(configured(tree, **changes), resume=True)
        found[name] = result.warnings
        warned = [line for line in lines(result.folder) if line.get("event") == "warning"]
        assert [(line["update"], line["reason"]) for line in warned] == [
            (5, warning) for warning in result.warnings
        ]
    (warning,) = found["whole"]
    assert warning.startswith(
        "stage 'srl': updates 1 to 5 had no group to train on, so nothing was learned"
    )
    assert "objective.min_std = 10" in warning
    assert found["resumed"] == found["whole"]
    assert found["asked later"] == ()
    assert [record.getMessage() for record in caplog.records] == [f"warning: {warning}"] * 2
    off = {"train": none, "log": {"warn_after": 0}, "out": str(tmp_path / "off")}
    assert train(configured(tree, **off)).warnings == ()


def test_a_trained_group_ends_the_row_of_updates_without_one(tree: dict[str, Any]) -> None:
    config = make_config({**tree, **COIN, "budget": {"updates": 8}, "log": {"warn_after": 1}})
    result = train(config)
    kept = [line["groups/trained"] for line in updates(result.folder)]
    assert len(result.warnings) == int(not all(kept))


def test_a_run_of_short_steps_is_resumed_to_the_bit(tree: dict[str, Any], tmp_path: Path) -> None:
    whole, part = (make_config({**tree, **COIN, "out": str(tmp_path / n)}) for n in ("a", "b"))
    train(whole)
    train(part.model_copy(update={"budget": part.budget.model_copy(update={"updates": 3})}))
    train(part, resume=True)
    assert any(0 < line["groups/trained"] < 8 for line in updates(Path(whole.out))[:3])
    assert left_behind(Path(part.out)) == left_behind(Path(whole.out))


def test_a_run_is_not_resumed_with_other_settings(tree: dict[str, Any]) -> None:
    train(configured(tree, budget={"updates": 1}))
    with pytest.raises(
        BadOption, match=r"must be resumed with the settings of .*got others for seed, train"
    ):
        train(configured(tree, seed=3, train={"lr": 1.0}), resume=True)


def test_a_setting_that_is_newer_than_a_run_does_not_stop_it(tree: dict[str, Any]) -> None:
    config = configured(tree, budget={"updates": 1})
    file = train(config).folder / "config.json"
    older = json.loads(file.read_text())
    del older["model"]["parallel"], older["policy"], older["evaluation"]
    file.write_text(json.dumps(older))
    longer = configured(tree, budget={"updates": 2})
    assert train(longer, resume=True).usage.updates == 2
    moved = configured(tree, budget={"updates": 3}, policy={"sampler": "vllm"})
    with pytest.raises(BadOption, match="got others for policy"):
        train(moved, resume=True)


# What goes wrong


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_last_good_state(
    tree: dict[str, Any],
) -> None:
    def poison(progress: Progress) -> None:
        if progress.update == 3:
            policy: Any = progress.policy
            with torch.no_grad():
                policy.model.lm_head.weight.mul_(float("nan"))

    config = configured(tree, method="sft")
    with pytest.raises(TrainingDiverged, match=r"update 4: loss nan.*update-000002.*learning rate"):
        train(config, on_progress=poison)
    assert train(config, resume=True).finished


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_serves(tree: dict[str, Any]) -> None:
    config = configured(tree)
    train(config)
    folder = Path(config.out) / "checkpoints"
    newest = checkpoints(folder)[-1]
    (newest / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CannotRead, match=f"{newest} cannot be read.*delete it to resume from"):
        train(config, resume=True)
    for file in sorted(newest.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    newest.rmdir()
    assert train(config, resume=True).finished


def test_failures_leave_the_sample_out_and_are_counted(tree: dict[str, Any]) -> None:
    result = train(configured(tree, method="rlvr", env={"options": {"fails_on": "a"}}))
    line = updates(result.folder)[0]
    assert 0 < line["failures"] < line["episodes"]
    assert line["failures/VerifierTimeout"] == line["failures"]
    assert np.isfinite(line["reward"])
    assert result.finished

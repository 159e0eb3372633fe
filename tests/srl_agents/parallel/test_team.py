"""Two processes on one model: the gradient of one, the checkpoint of one, one folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from typer.testing import CliRunner

from srl_agents.models.small import build, character_tokenizer
from srl_agents.nn.score import make_decoder
from srl_agents.objectives import GRPO, NLL
from srl_agents.objectives.batch import Batch, TrainingBatches
from srl_agents.objectives.loss import completion_weights
from srl_agents.parallel.sharding import shard, whole
from srl_agents.parallel.team import ALONE, Team, join
from srl_agents.runs.checkpoint import checkpoints
from srl_agents.runs.config import OptimizerConfig, RunConfig, make_config
from srl_agents.runs.settings import merged
from srl_agents.training.learner import Learner
from srl_agents.training.run import train
from srl_agents.training.trainer import Trainer
from srl_env.policy import Generation, Sampling
from srl_env.rollout import Episode
from srl_env.text.prompt import Messages
from tests.srl_agents import letters, locks
from tests.srl_agents.parallel.team_jobs import PLACE, together

TOKENIZER = character_tokenizer("0123456789abcdefghijklmnopqrst+-*,:?>();#")
CPU = torch.device("cpu")


def config(tied: bool, layers: int = 2) -> Any:
    return transformers.Qwen2Config(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
        initializer_range=0.2,
    )


def tiny(tied: bool, layers: int = 2) -> Any:
    return build(config(tied, layers), TOKENIZER, seed=0)


def batch(rows: int) -> Batch:
    """Completions of 1 to 6 tokens after prompts that repeat and contain one another."""
    generator = torch.Generator().manual_seed(rows)
    text = torch.randint(3, 40, (16,), generator=generator).tolist()
    prompts = [tuple(text[: 4 + 4 * (row % 3)]) for row in range(rows)]
    completions = [
        tuple(torch.randint(3, 40, (1 + row % 6,), generator=generator).tolist())
        for row in range(rows)
    ]
    lengths = torch.tensor([len(ids) for ids in completions])
    return Batch(
        tuple(prompts),
        tuple(completions),
        torch.randn(rows, generator=generator, dtype=torch.float64),
        completion_weights(lengths, torch.arange(rows)),
        tuple(tuple([-3.0] * len(ids)) for ids in completions),
    )


CASES: dict[str, tuple[int, int, GRPO | NLL]] = {
    "grpo": (12, 10_000, GRPO(temperature=0.7, entropy=0.01)),
    "many micro-batches, corrected, kl": (11, 30, GRPO(sampler_correction="token-tis", kl=0.1)),
    "fine-tuning": (12, 40, NLL()),
    "fewer completions than processes": (1, 10_000, GRPO()),
}


def gradients(parallel: str, recompute: bool = False) -> dict[str, Any]:
    """{case: the clipped gradient of an update in one vector, and its numbers}."""
    team, found = join(CPU), {}
    for number, (name, (rows, tokens, objective)) in enumerate(CASES.items()):
        model, first = tiny(tied=number % 2 == 0), tiny(tied=number % 2 == 0, layers=1)
        if recompute:
            model.activation_checkpointing_enable({"use_reentrant": False})
        if parallel == "fsdp" and team.size > 1:
            shard(model, CPU, autocast=False)
            shard(first.requires_grad_(False), CPU, autocast=False)
        settings = OptimizerConfig(micro_batch_tokens=tokens, max_grad_norm=0.5)
        reference = make_decoder(first)
        learner = Learner(model, settings, reference=reference, team=team)
        numbers = learner.update(TrainingBatches((batch(rows),)), objective, lr=0.0)
        flat = torch.cat(
            [whole(p.grad).flatten() for p in learner.parameters if p.grad is not None]
        )
        found[name] = (flat.numpy(), numbers)
    return found


def all_gradients() -> dict[str, dict[str, Any]]:
    return {
        "ddp": gradients("ddp"),
        "fsdp": gradients("fsdp"),
        "fsdp, activations recomputed": gradients("fsdp", recompute=True),
    }


@pytest.fixture(scope="module")
def of_two() -> list[dict[str, dict[str, Any]]]:
    """The gradients that each of two processes has in the end."""
    return together(2, all_gradients)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp", "fsdp, activations recomputed"])
def test_two_processes_give_the_gradient_and_the_numbers_of_one(
    parallel: str, of_two: list[dict[str, dict[str, Any]]]
) -> None:
    alone = gradients("ddp")
    for mine in of_two:
        for name, (gradient, numbers) in alone.items():
            assert abs(gradient).max() > 1e-3
            assert abs(mine[parallel][name][0] - gradient).max() < 5e-5, name
            assert mine[parallel][name][1] == pytest.approx(numbers, rel=1e-4, abs=1e-5), name


def test_shares_are_even_in_order_and_the_first_has_something_wherever_there_is_something() -> None:
    for count in range(8):
        shares = [Team(rank, 3).part(list(range(count))) for rank in range(3)]
        assert [item for share in shares for item in share] == list(range(count))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert shares[0] or not count


def test_a_process_alone_asks_nobody() -> None:
    tensor = torch.ones(2)
    ALONE.all_reduce([tensor])
    ALONE.wait()
    assert (ALONE.main, ALONE.broadcast(3), ALONE.any(False)) == (True, 3, False)
    assert ALONE.all_gather([1, 2]) == [1, 2]
    assert tensor.tolist() == [1, 1]


# Whole runs


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Any]:
    letters.save_base(tmp_path / "base", config(tied=True))
    changes = {
        "budget": {"updates": 2},
        "train": {"batch": 3, "objective": {"group_size": 4}},
        "optimizer": {"micro_batch_tokens": 128, "eps": 1e-3},
        "log": {"rollouts_every": 1, "rollouts_kept": 1000, "kl_every": 1},
    }
    return merged(letters.settings(tmp_path / "base", tmp_path / "together"), changes)


def run(tree: dict[str, Any], resume: bool = False) -> int:
    return train(make_config(tree), resume=resume).usage.updates


class Replayed:
    """Writes again what a run has logged, in the same order."""

    def __init__(self, folder: Path) -> None:
        lines = (folder / "rollouts/000000.jsonl").read_text().splitlines()
        fields = Episode.__dataclass_fields__
        rows = [json.loads(line) for line in lines]
        episodes = [Episode.from_json({name: row[name] for name in fields}) for row in rows]
        self.generations = iter([step.generation for e in episodes for step in e.steps])

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        return [next(self.generations) for _ in batch]


def run_on_the_same_groups(config: RunConfig, logged: Path) -> None:
    """The run in this process alone, with what another one sampled."""
    import threading

    Path(config.out).mkdir()
    trainer = Trainer(config, None)
    policy: Any = Replayed(logged)
    trainer.collector.rollouts.policy = policy  # type: ignore[attr-defined]
    trainer.run(threading.Event(), lambda _: None)
    trainer.close()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    return dict(model.state_dict())


def optimizer(folder: Path) -> Iterator[torch.Tensor]:
    state = torch.load(folder / "trainer" / "tensors.pt")["optimizer"]["state"]
    for values in state.values():
        yield from (values[name] for name in ("exp_avg", "exp_avg_sq", "step"))


# Of two episodes that are paid by a coin one in two groups differs: a part of the batch is kept.
COIN = {
    "train": {
        "batch": 6,
        "objective": {"reward_mode": "random", "group_size": 2, "max_groups": 1.0},
    }
}


# No episode is correct, so only what the expert wrote is trained on.
LOCKS = {"env": {"id": locks.__file__}, "train": {"objective": {"max_tokens": 1}}}

# The teacher's prompts are longer, so its micro-batches are others than those of the policy.
TAUGHT = {
    "method": [{"name": "s", "objective": {"kind": "rlsd", "reward_mode": "srl", "max_steps": 1}}]
}


@pytest.mark.parametrize(
    "shared", [{}, COIN, TAUGHT], ids=["whole steps", "short steps", "a teacher"]
)
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="ddp"),
        pytest.param(
            {"model": {"parallel": "fsdp", "gradient_checkpointing": True}},
            id="fsdp",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_of_two_processes_ends_as_one_on_the_same_groups(
    tree: dict[str, Any], tmp_path: Path, changes: dict[str, Any], shared: dict[str, Any]
) -> None:
    tree = merged(tree, shared)
    assert together(2, run, merged(tree, changes)) == [2, 2]
    alone = make_config(merged(tree, {"out": str(tmp_path / "alone")}))
    run_on_the_same_groups(alone, tmp_path / "together")
    both = [checkpoints(tmp_path / name / "checkpoints")[-1] for name in ("together", "alone")]
    mine, one = (weights(folder) for folder in both)
    moved = weights(tmp_path / "base")
    for name, value in one.items():
        torch.testing.assert_close(mine[name], value, atol=1e-5, rtol=1e-4)
        assert name.endswith("bias") or not torch.equal(value, moved[name])
    for ours, theirs in zip(*map(optimizer, both), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-3)
    lines = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("together", "alone")
    ]
    assert len(lines[0]) == len(lines[1]) == 3
    batch = tree["train"]["batch"]
    kept = [line["groups/trained"] for line in lines[0][:2]]
    assert (0 < min(kept) < batch) if shared is COIN else (min(kept) == batch)
    timed = ("time/", "tokens_per_s/", "seconds")
    for ours, theirs in zip(*lines, strict=True):
        for name, value in theirs.items():
            if isinstance(value, str):
                assert ours[name] == value
            elif not name.startswith(timed):
                assert ours[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"method": "sft"},
        {"model": {"parallel": "fsdp"}, "method": "srl-rlvr"},
        {"model": {"parallel": "fsdp", "lora": {"rank": 3}}},
        {"model": {"lora": {"rank": 3}, "dtype": "bfloat16"}},
        {"model": {"parallel": "fsdp", "autocast": True}},
        {"method": "luffy", **LOCKS},
        {"method": "relift", **LOCKS, "stages": {"rlvr": {"auxiliary": {"held": 2, "lr": 1e-2}}}},
    ],
    ids=[
        "ddp, sft",
        "fsdp, stages",
        "fsdp, lora",
        "ddp, lora, bf16",
        "fsdp, autocast",
        "ddp, expert rows",
        "ddp, a buffer",
    ],
)
def test_a_run_of_two_processes_is_resumed_and_leaves_an_ordinary_model(
    tree: dict[str, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = merged(tree, changes)
    assert together(2, run, config) == [2, 2]
    longer = merged(config, {"budget": {"updates": 4}})
    assert together(2, run, longer, True) == [4, 4]
    names = set(weights(tmp_path / "base"))
    found = weights(tmp_path / "together" / "model")
    assert set(found) == names
    assert any(not torch.equal(found[n], weights(tmp_path / "base")[n]) for n in names)
    lines = (tmp_path / "together" / "metrics.jsonl").read_text().splitlines()
    numbers = [json.loads(line) for line in lines]
    assert [line["update"] for line in numbers if "event" not in line] == [1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("model", [{}, {"parallel": "fsdp", "lora": {"rank": 3}}])
def test_evaluations_of_two_processes_change_nothing_and_leave_an_ordinary_best_model(
    tree: dict[str, Any], tmp_path: Path, model: dict[str, Any]
) -> None:
    plain = merged(tree, {"model": model, "env": {"options": {"letters": "abc"}}})
    assert together(2, run, plain) == [2, 2]
    evaluation = {"every": 1, "problems": 1, "metric": "format", "similarity": True}
    evaluated = merged(plain, {"out": str(tmp_path / "evaluated"), "evaluation": evaluation})
    assert together(2, run, evaluated) == [2, 2]
    expected = weights(tmp_path / "together" / "model")
    found = weights(tmp_path / "evaluated" / "model")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    best, base = (weights(tmp_path / name) for name in ("evaluated/best", "base"))
    assert all(torch.equal(best[name], base[name]) for name in base)  # format is 1 from the start
    events = [row for row in letters.lines(tmp_path / "evaluated") if "event" in row]
    assert [row["update"] for row in events if row["event"] == "evaluation"] == [0, 1, 2]


@pytest.mark.slow
def test_sharded_and_alone_resume_each_other(tree: dict[str, Any], tmp_path: Path) -> None:
    sharded = merged(tree, {"model": {"parallel": "fsdp"}})
    assert together(2, run, sharded) == [2, 2]
    assert run(merged(sharded, {"budget": {"updates": 3}}), resume=True) == 3
    assert together(2, run, merged(sharded, {"budget": {"updates": 4}}), True) == [4, 4]


@pytest.mark.slow
def test_accelerate_launches_the_command(tree: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(tree))
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += ["--main_process_port", "0", "-m", "srl_agents", "train"]
    command = [sys.executable, *launch, "--config", str(tmp_path / "run.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Model: ") == 1
    assert (tmp_path / "together" / "model" / "config.json").exists()


def test_processes_of_a_launcher_need_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    from srl_agents.cli.main import app

    monkeypatch.setenv("RANK", "1")
    given = ["train", "--env", "srl/ModularChain-v0", "--model", "none", "--seconds", "1"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 2
    assert "give --out: the processes of a launcher" in " ".join(done.stderr.split())


def test_one_gpu_by_its_number_is_not_enough_for_several_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from srl_env.errors import BadOption

    for name, value in PLACE.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadOption, match="must be 'cuda' for 2 processes.*got 'cuda:1'"):
        join(torch.device("cuda:1"))


def test_failures_are_counted_over_all_processes() -> None:
    """Each process loses one of its own; both count two."""
    assert together(2, failures_of_all) == [2, 2]


def failures_of_all() -> int:
    from srl_agents.objectives.metrics import episode_metrics

    team = join(CPU)
    failure = {"type": "VerifierTimeout", "message": f"of process {team.rank}"}
    lost = Episode("p", 0, "srl", "expert", "step", (), None, failure, team.rank)
    found = episode_metrics(team.all_gather([lost, replace(lost, failure=None)]))
    return int(found["failures/VerifierTimeout"])

"""An agent that chooses among a policy's samples."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from typer.testing import CliRunner

import srl_env
from srl_agents.cli.main import app
from srl_agents.evaluation.evaluator import evaluate
from srl_agents.evaluation.results import read_result
from srl_agents.integrations import (
    CandidateSteps,
    HashedNgrams,
    MaskableScorerPolicy,
    ScorerPolicy,
    SentenceEncoder,
)
from srl_agents.integrations.sb3.candidates import CandidateView
from srl_agents.integrations.sb3.chooser import SB3Policy, save_chooser
from srl_agents.runs.evaluation import EvalSettings
from srl_env.errors import BadData, BadOption, Failure, PolicyFailure
from srl_env.policy import Generation, Sampling
from srl_env.testing import CountingEnv, ScriptedPolicy
from srl_env.text.prompt import Message, Messages

SMALL = HashedNgrams(size=16, lengths=(1, 2))


class Last:
    """An agent that chooses the last candidate."""

    policy = None

    def __init__(self, k: int = 3) -> None:
        self.observation_space = CandidateView(k, SMALL).space
        self.seen: list[dict[str, Any]] = []

    def predict(self, observation: dict[str, Any], deterministic: bool) -> tuple[Any, None]:
        self.seen.append(observation)
        return observation["mask"].sum(-1).astype(int) - 1, None


def user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def said(*texts: str) -> list[str]:
    return [f"<think></think>{text}" for text in texts]


def test_it_samples_k_times_and_returns_the_chosen_sample() -> None:
    policy = ScriptedPolicy(said("a", "b", "a", "c", "c", "c"))
    chooser = SB3Policy(Last(), policy, encoder=SMALL)
    made = chooser.generate([user("p"), user("q")], Sampling(temperature=0.0, max_tokens=5))
    assert [g.text for g in made if isinstance(g, Generation)] == said("b", "c")
    assert policy.shown == [[user("p")] * 3 + [user("q")] * 3]
    assert policy.samplings == [Sampling(temperature=1.0, max_tokens=5)]


def test_what_the_agent_sees_is_what_it_was_trained_on() -> None:
    agent = Last()
    SB3Policy(agent, ScriptedPolicy(said("a", "b", "a")), encoder=SMALL).generate(
        [user("a b")], Sampling()
    )
    ((table,), (mask,), (state,)) = (agent.seen[0][n] for n in ("candidates", "mask", "state"))
    expected, rows = SMALL.encode("a b", ["a", "b"])
    assert mask.tolist() == [1, 1, 0]
    assert state == pytest.approx(expected)
    table = table.reshape(3, -1)
    assert table[:2, :-2] == pytest.approx(rows)
    assert table[:, -2:] == pytest.approx(np.array([[2 / 3, 1], [1 / 3, 1], [0, 0]]))


class Lossy:
    """Loses every sample whose place is named."""

    def __init__(self, *lost: int) -> None:
        self.lost = lost

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        lost = PolicyFailure("gone")
        return [lost if i in self.lost else Generation(f"s{i}") for i in range(len(batch))]


def test_lost_samples_leave_fewer_to_choose_from_and_none_is_a_failure() -> None:
    chooser = SB3Policy(Last(), Lossy(2, 3, 4, 5), encoder=SMALL)
    first, second = chooser.generate([user("p"), user("q")], Sampling())
    assert first == Generation("s1")
    assert isinstance(second, PolicyFailure)


def test_agents_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadOption, match="another encoder"):
        SB3Policy(Last(), ScriptedPolicy(["a"]))
    with pytest.raises(BadOption, match="not trained on CandidateSteps"):
        SB3Policy(object(), ScriptedPolicy(["a"]))


def agent(algorithm: Any = PPO, policy: Any = ScorerPolicy) -> Any:
    env = CandidateSteps(CountingEnv(), 3, encoder=SMALL)
    return algorithm(policy, env, n_steps=8, batch_size=8, seed=0, policy_kwargs={"width": 8})


@pytest.mark.parametrize(
    ("algorithm", "policy"), [(PPO, ScorerPolicy), (MaskablePPO, MaskableScorerPolicy)]
)
def test_a_saved_chooser_chooses_as_before(algorithm: Any, policy: Any, tmp_path: Path) -> None:
    trained, texts = agent(algorithm, policy), said("say 1", "say 2", "nine")
    save_chooser(trained, tmp_path / "chooser", SMALL)
    batch = [user(f"Count to {n}") for n in range(5)]
    before = SB3Policy(trained, ScriptedPolicy(texts), encoder=SMALL)
    after = SB3Policy.load(tmp_path / "chooser", ScriptedPolicy(texts))
    assert after.view.encoder == SMALL
    chosen = [chooser.generate(batch, Sampling()) for chooser in (before, after)]
    assert chosen[0] == chosen[1]


def test_folders_without_a_chooser_and_odd_encoders_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"chooser.json is not a chooser"):
        SB3Policy.load(tmp_path, ScriptedPolicy(["a"]))
    with pytest.raises(BadOption, match="must be a dataclass of plain values"):
        save_chooser(agent(), tmp_path, object())  # type: ignore[arg-type]
    save_chooser(agent(), tmp_path, SMALL)
    (tmp_path / "agent.zip").write_text("no archive")
    with pytest.raises(
        BadData, match=r"agent.zip cannot be read: .*. Fix: use a folder that save_ch"
    ):
        SB3Policy.load(tmp_path, ScriptedPolicy(["a"]))
    (tmp_path / "agent.zip").unlink()
    with pytest.raises(BadData, match=r"agent.zip is missing"):
        SB3Policy.load(tmp_path, ScriptedPolicy(["a"]))
    save_chooser(agent(), tmp_path, SentenceEncoder("mine", 7))
    saved = json.loads((tmp_path / "chooser.json").read_text())
    assert saved["encoder_options"] == {"model": "mine", "size": 7}


class Guess:
    """Counts on, or gives a wrong sum, in turns: right half of the time."""

    def __init__(self) -> None:
        self.calls = 0

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        return [Generation(said(self.text(m[-1]["content"]))[0]) for m in batch]

    def text(self, shown: str) -> str:
        self.calls += 1
        target, done = int(shown.partition("Count to ")[2][0]), shown.count("say ")
        right = f"the sum={sum(range(target + 1))}!" if done == target else f"say {done + 1}"
        return right if self.calls % 2 else "the sum=1!"


class KnowsTheWrongSum(Last):
    """Chooses the first candidate that is not "the sum=1!"."""

    wrong = SMALL.encode("", ["the sum=1!"])[1][0, :16]

    def predict(self, observation: dict[str, Any], deterministic: bool) -> tuple[Any, None]:
        rows = observation["candidates"].reshape(-1, 3, SMALL.sizes[1] + 2)[..., :16]
        return (abs(rows - self.wrong).sum(-1) > 1e-6).argmax(-1), None


def test_a_chooser_is_evaluated_like_any_policy() -> None:
    settings = EvalSettings(rollouts=2, greedy=False)
    alone = evaluate(Guess(), CountingEnv, settings)
    chooser = SB3Policy(KnowsTheWrongSum(), Guess(), encoder=SMALL)
    chosen = evaluate(chooser, CountingEnv, settings)
    assert chosen.scores["pass@1"] == (1.0, 1.0, 1.0)
    assert np.mean(alone.scores["pass@1"]) < 1


CHAIN = "srl/ModularChain-v0"
SMALL_CHAIN = '{"difficulty": 1, "max_problems": 20, "max_steps": 3}'


def run(*arguments: str) -> Any:
    command = ["eval", "-e", CHAIN, "--kwargs", SMALL_CHAIN, "-n", "4", "-r", "2", *arguments]
    return CliRunner().invoke(app, command)


def test_eval_says_what_a_chooser_gains(tmp_path: Path) -> None:
    env = CandidateSteps(srl_env.make(CHAIN), 3, encoder=SMALL)
    save_chooser(PPO(ScorerPolicy, env, n_steps=8, batch_size=8), tmp_path / "chooser", SMALL)
    out = tmp_path / "out"
    chosen = run("-m", "random", "--chooser", str(tmp_path / "chooser"), "-o", str(out))
    assert chosen.exit_code == 0, chosen.output
    assert "gain of choosing, on the same problems" in chosen.stdout
    gain = json.loads((out / "gain.json").read_text())
    results = [read_result(folder) for folder in (out / "alone", out)]
    alone, with_chooser = (np.mean(result.scores["format"]) for result in results)
    assert gain["format"]["value"] == pytest.approx(with_chooser - alone)
    assert results[0].problem_ids == results[1].problem_ids
    assert results[1].policy == f"random with {tmp_path / 'chooser'}"
    assert "was trained in" not in chosen.stderr
    again = CliRunner().invoke(app, ["eval", "--resume", str(out)])
    assert again.exit_code == 0, again.output


def test_a_chooser_of_another_environment_is_told(tmp_path: Path) -> None:
    env = CandidateSteps(srl_env.make("srl/WordProblem-v0"), 3, encoder=SMALL)
    save_chooser(PPO(ScorerPolicy, env, n_steps=8, batch_size=8), tmp_path, SMALL)
    chosen = run("-m", "random", "--chooser", str(tmp_path), "-o", str(tmp_path / "out"))
    assert chosen.exit_code == 0, chosen.output
    told = " ".join(chosen.stderr.split())
    assert "was trained in srl/WordProblem-v0, not in srl/ModularChain-v0" in told


def test_mistakes_with_a_chooser_are_named(tmp_path: Path) -> None:
    nothing = run("-m", "random", "--chooser", str(tmp_path))
    assert (nothing.exit_code, "is not a chooser" in nothing.stderr) == (2, True)
    expert = run("-m", "expert", "--chooser", str(tmp_path))
    assert (expert.exit_code, "samples to choose among" in expert.stderr) == (2, True)


def test_missing_packages_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("srl_agents.integrations.sb3")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    result = run("-m", "random", "--chooser", str(tmp_path))
    assert result.exit_code == 2
    assert "pip install 'srl-env[sb3]'" in result.stderr

"""Ordinary mistakes, and the message each gives: what, where, and what to do.

The table is the specification: a function that makes the mistake, beside the message. Every error
is one of the library's own; none is a bare exception from something underneath.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import srl_env
from srl_agents.cli.main import app
from srl_agents.policies.named import read_spec
from srl_agents.runs.config import load_config, make_config
from srl_env import EnvPool, Problem, ReasoningEnv, Start, Verdict
from srl_env.batch.stepping import step_many
from srl_env.data import DatasetSource, JsonlSource, ListSource, write_jsonl
from srl_env.errors import SrlEnvError
from srl_env.problem import ExpertStep, ExpertTrajectory
from srl_env.rewards.record import StepRecord
from srl_env.rewards.registry import FunctionMode, reward_mode
from srl_env.rollout import rollout
from srl_env.testing import CountingVerifier, SlowWorldEnv, counting_problem
from srl_env.verifiers import NumericVerifier
from tests.full_disk import files_of_at_most

Mistake = Callable[[Path], object]
MISTAKES: dict[str, tuple[Mistake, str]] = {}
CHAIN = "srl/ModularChain-v0"
ANSWER = "<think>so</think>#### 4"


def gives(message: str) -> Callable[[Mistake], Mistake]:
    """Puts a mistake into the table, with a part of the message that it must give."""

    def add(mistake: Mistake) -> Mistake:
        MISTAKES[mistake.__name__.replace("_", " ")] = mistake, message
        return mistake

    return add


def problem(**changes: Any) -> Problem:
    way = ExpertTrajectory((ExpertStep("2 + 2 = 4"), ExpertStep("#### 4")))
    return Problem(
        **{"id": "p", "prompt": "2 + 2?", "answer": "4", "trajectories": (way,)} | changes
    )


def env(made_of: Problem | None = None, verifier: Any = None, **options: Any) -> ReasoningEnv:
    source = ListSource([problem() if made_of is None else made_of])
    return ReasoningEnv(source, verifier or NumericVerifier(), **options)


def finished(of: ReasoningEnv, **options: Any) -> Any:
    """The result of answering at once."""
    of.reset(seed=0, options={"reward_mode": "rlvr", **options})
    return of.step(ANSWER)


def rows(place: Path, text: str | bytes, name: str = "rows.jsonl") -> Path:
    path = place / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def steps(place: Path, text: str | bytes, **options: Any) -> ReasoningEnv:
    """The environment made of a file with that in it."""
    return srl_env.make(f"steps:{rows(place, text)}", **options)


def command(*arguments: str) -> None:
    """Runs srl-env; raises its one line as an error, and fails on anything else."""
    result = CliRunner().invoke(app, list(arguments))
    assert isinstance(result.exception, SystemExit), result.output + repr(result.exception)
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.exit_code in (1, 2), result.output
    assert len(lines) == 1, result.output
    raise SrlEnvError(lines[0].removeprefix("error: "))


# Names that do not exist


@gives("no environment 'srl/GSM9K-v0'. Did you mean 'srl/GSM8K-v0'?")
def wrong_id(place: Path) -> None:
    srl_env.make("srl/GSM9K-v0")


@gives("no environment 'srl/GSM8K-v7'. Did you mean 'srl/GSM8K-v0'?")
def wrong_version(place: Path) -> None:
    srl_env.make("srl/GSM8K-v7")


@gives("an environment is named by its id (srl-env list); got ''")
def no_id(place: Path) -> None:
    srl_env.make("")


@gives("'rows.json' is not an environment. Fix: give an id (srl-env list), steps:FILE with a file")
def file_of_another_kind_as_id(place: Path) -> None:
    srl_env.make("rows.json")


@gives("no argument of srl/ModularChain-v0 'dificulty'. Did you mean 'difficulty'?")
def wrong_argument(place: Path) -> None:
    srl_env.make(CHAIN, dificulty=3)


@gives("no reward mode 'slr'. Did you mean 'srl'?")
def wrong_reward_mode(place: Path) -> None:
    env(reward_mode="slr")


@gives("no reset option 'reward'. Did you mean 'reward_mode'?")
def wrong_reset_option(place: Path) -> None:
    env().reset(options={"reward": "srl"})


@gives("7,000 are known, e.g. ")
def wrong_problem_among_thousands(place: Path) -> None:
    source = ListSource(Problem(f"problem-{i}", f"{i}?") for i in range(7000))
    source.index_of("zzz")


@gives("problem 5 does not exist: 'list' has problems 0 … 0")
def wrong_problem_number(place: Path) -> None:
    env().reset(options={"problem": 5})


@gives("no split 'tset'. Did you mean 'test'?")
def wrong_split(place: Path) -> None:
    srl_env.make("srl/GSM8K-v0", source="sample", split="tset")


@gives("no method 'slr'. Did you mean 'srl'?")
def wrong_method(place: Path) -> None:
    make_config({**CONFIG, "method": "slr"})


@gives("no configuration key 'budget.update'. Did you mean 'budget.updates'?")
def wrong_key(place: Path) -> None:
    make_config({**CONFIG, "budget": {"update": 3}})


@gives("no policy 'exprt'. Did you mean 'expert'?")
def wrong_policy(place: Path) -> None:
    read_spec("exprt")


# Values that cannot work


@gives("seed must be a whole number, at least 0; got -1")
def negative_seed(place: Path) -> None:
    env().reset(seed=-1)


@gives("start_step 2 leaves nothing to do: the expert's solution of problem 'p' has 2 steps")
def start_behind_the_end(place: Path) -> None:
    env().reset(options={"start_step": 2})


@gives("no episode yet: call reset() first")
def step_before_reset(place: Path) -> None:
    ours(env().step, ANSWER)


@gives("the episode has ended: call reset() before step()")
def step_after_the_end(place: Path) -> None:
    of = env()
    finished(of)
    ours(of.step, ANSWER)


@gives("an action must be a str; got bytes b'4'")
def action_that_is_no_text(place: Path) -> None:
    of = env()
    of.reset()
    of.step(b"4")  # type: ignore[arg-type]


@gives("difficulty must be a number or a (lowest, highest) pair within 1 … 18; got 'hard'")
def difficulty_in_words(place: Path) -> None:
    srl_env.make(CHAIN, difficulty="hard")


@gives("""--kwargs must be a JSON object, e.g. '{"difficulty": 9}'; got '{difficulty: 3}'""")
def arguments_that_are_no_json(place: Path) -> None:
    command("check", CHAIN, "--kwargs", "{difficulty: 3}")


@gives("an override must be KEY=VALUE, as train.lr=3e-4; got 'train.lr'")
def override_without_value(place: Path) -> None:
    command("train", "-e", CHAIN, "-m", "x", "--seconds", "1", "--set", "train.lr")


@gives("model is missing from the configuration. Fix: set it, or pass --model FOLDER")
def configuration_without_model(place: Path) -> None:
    make_config({"out": "", "env": {"id": CHAIN}, "budget": {"updates": 1}})


@gives("budget is missing from the configuration. Fix: set it, or pass --seconds N or --set")
def training_without_end(place: Path) -> None:
    command("train", "-e", CHAIN, "-m", "x")


@gives("run.toml: Invalid value (at line 1, column 7)")
def configuration_that_is_no_toml(place: Path) -> None:
    load_config(rows(place, "out = \n", "run.toml"))


@gives("none.toml cannot be read: No such file or directory")
def configuration_that_is_not_there(place: Path) -> None:
    load_config(place / "none.toml")


# What authors write


@gives(
    "ReasoningEnv needs a problem source; got a list. Fix: srl_env.data.ListSource(problems) makes"
)
def list_in_place_of_a_source(place: Path) -> None:
    ReasoningEnv([problem()], NumericVerifier())  # type: ignore[arg-type]


@gives("verifier must be a Verifier object, e.g. NumericVerifier(); got the class NumericVerifier")
def class_in_place_of_a_verifier(place: Path) -> None:
    ReasoningEnv(ListSource([problem()]), NumericVerifier)  # type: ignore[arg-type]


class Half:
    """A verifier without the method that finds answers."""

    def verify(self, of: Problem, actions: Sequence[str]) -> Verdict:
        return Verdict(True)


@gives("which lacks extract, verify_many")
def verifier_without_methods(place: Path) -> None:
    env(verifier=Half())


class Returning(CountingVerifier):
    """Gives whatever it is made with as verdict."""

    def __init__(self, verdict: Any) -> None:
        object.__setattr__(self, "verdict", verdict)

    __slots__ = ("verdict",)

    def extract(self, text: str) -> str | None:
        return text

    def verify(self, of: Problem, actions: Sequence[str]) -> Verdict:
        return self.verdict  # type: ignore[no-any-return]


@gives("Returning.verify() of ReasoningEnv for problem 'p' must return a srl_env.Verdict, e.g.")
def verify_that_returns_true(place: Path) -> None:
    finished(env(verifier=Returning(True)))


@gives("e.g. Verdict(correct=True); got NoneType None")
def verify_that_forgets_to_return(place: Path) -> None:
    finished(env(verifier=Returning(None)))


class Short(NumericVerifier):
    """Gives no verdicts at all where many are asked for."""

    def verify_many(self, items: Any) -> Any:
        return []


@gives("Short.verify_many() must return one verdict for each item; got 0 for 2")
def verify_many_that_gives_too_few(place: Path) -> None:
    verifier = Short()
    envs = [env(verifier=verifier, reward_mode="rlvr") for _ in range(2)]
    for one in envs:
        one.reset()
    step_many(envs, [ANSWER, ANSWER])


class Forgetful(ReasoningEnv):
    """Never calls the constructor of ReasoningEnv."""

    def __init__(self) -> None:
        pass


@gives("Forgetful.__init__() did not call super().__init__(problems, verifier, **options)")
def forgotten_super_call(place: Path) -> None:
    Forgetful().reset()


class Worded(SlowWorldEnv):
    """Says in words what is to be True or False, and in numbers what is to be a text."""

    def legal(self, of: Problem, actions: Sequence[str], action: str) -> Any:
        return "yes" if action == "legal" else None

    def world_step(self, action: str) -> Any:
        return 7


@gives("Worded.legal() must return True, False or None; got str 'yes'")
def legal_in_words(place: Path) -> None:
    of = Worded()
    of.reset(options={"reward_mode": "rlvr"})
    of.step("<think></think>legal")


@gives("Worded.world_step() must return a str or None; got int 7")
def world_that_answers_in_numbers(place: Path) -> None:
    of = Worded()
    of.reset(options={"reward_mode": "rlvr"})
    of.step("<think></think>say 1")


class Rows(ListSource):
    """Gives rows in place of problems."""

    def __getitem__(self, index: int) -> Any:
        return {"prompt": "?"}


@gives("the problem source 'list' must give srl_env.Problem objects; got a dict for index 0")
def source_that_gives_rows(place: Path) -> None:
    ReasoningEnv(Rows([problem()]), NumericVerifier()).reset()


@gives("ListSource takes Problem objects; number 0 is a dict. srl_env.data.problem_from_row makes")
def list_of_rows(place: Path) -> None:
    ListSource([{"prompt": "?"}])  # type: ignore[list-item]


@gives("answer of problem 'p' must be a text (str) or None; got int 4. Fix: str(value), here '4'")
def answer_that_is_a_number(place: Path) -> None:
    problem(answer=4)


@gives("trajectories of problem 'p' must be a tuple of ExpertTrajectory; item 0 is not one; got")
def steps_in_place_of_trajectories(place: Path) -> None:
    problem(trajectories=(ExpertStep("a"),))


@gives("steps of an ExpertTrajectory must be a tuple of ExpertStep; item 0 is not one; got str 'a'")
def texts_in_place_of_steps(place: Path) -> None:
    ExpertTrajectory(("a", "b"))  # type: ignore[arg-type]


@gives("an expert trajectory needs at least one step; none was given")
def trajectory_without_steps(place: Path) -> None:
    ExpertTrajectory(())


@gives("reward mode 'srl' compares with an expert, and problem 'p' has no expert trajectory; use")
def step_rewards_without_an_expert(place: Path) -> None:
    env(problem(trajectories=())).reset(options={"reward_mode": "srl"})


@gives("problem 'p' has no answer; NumericVerifier needs one")
def problem_without_answer(place: Path) -> None:
    finished(env(problem(answer=None)))


@gives("NumericVerifier needs an answer that is a number; got 'four'")
def answer_in_words(place: Path) -> None:
    finished(env(problem(answer="four")))


@gives("the problem source 'list' is empty")
def source_without_problems(place: Path) -> None:
    ReasoningEnv(ListSource([]), NumericVerifier()).reset()


def in_words(step: StepRecord) -> Any:
    """A reward that is none."""
    return "good"


@gives(
    "reward mode 'words' must return a number or a StepReward; got str 'good' from in_words() for"
)
def reward_in_words(place: Path) -> None:
    finished(env(), reward_mode=FunctionMode("words", in_words))


@gives("reward mode 'nan' must give one finite reward for each of 1 steps; got [nan]")
def reward_that_is_no_number(place: Path) -> None:
    finished(env(), reward_mode=FunctionMode("nan", lambda step: float("nan")))


@gives("a reward mode named 'srl' exists already; choose another name")
def reward_mode_of_a_name_that_is_taken(place: Path) -> None:
    reward_mode("srl")(in_words)


@gives("a measure must return a number from 0 to 1; got str 'high'")
def measure_in_words(place: Path) -> None:
    of = env(measure=lambda action, context: "high")  # type: ignore[arg-type,return-value]
    of.reset()
    of.step(ANSWER)


@gives("a policy must return Generation objects; got a str 'hi'. Fix: srl_env.Generation(text)")
def policy_that_gives_texts(place: Path) -> None:
    rollout(EnvPool(env), Saying("hi"), [Start({}, 0)])


@gives("a policy must return one generation for each prompt; got 2 for 1")
def policy_that_gives_too_many(place: Path) -> None:
    rollout(EnvPool(env), Saying("hi", "ho"), [Start({}, 0)])


@gives("a policy must be an object with generate(batch, sampling); got 'expert'")
def name_in_place_of_a_policy(place: Path) -> None:
    rollout(EnvPool(env), "expert", [Start({}, 0)])  # type: ignore[arg-type]


class Saying:
    """A policy that says the same to every batch."""

    def __init__(self, *said: Any) -> None:
        self.said = said

    def generate(self, batch: Any, sampling: Any) -> Any:
        return list(self.said)


@gives("env.py:3: importing the file raised NameError: name 'Reasoning' is not defined")
def file_of_code_with_a_mistake(place: Path) -> None:
    srl_env.make(str(rows(place, "x = 1\n\nclass E(Reasoning): pass\n", "broken_env.py")))


# Data


@gives("rows.jsonl:2: no JSON; Expecting ',' delimiter at column 16")
def bad_row(place: Path) -> None:
    good = '{"prompt": "?", "steps": ["a"], "answer": "1"}\n'
    steps(place, good + '{"prompt": "?" 1}')


@gives("rows.jsonl: unknown columns promt. Fix: name them, as --column prompt=QUESTION")
def row_with_a_wrong_column(place: Path) -> None:
    steps(place, '{"promt": "?"}')


@gives("""rows.jsonl:1: "steps" is empty; a problem needs at least one expert step""")
def row_without_steps(place: Path) -> None:
    steps(place, '{"prompt": "?", "steps": [], "answer": "1"}')


@gives("rows.jsonl:1: no UTF-8; byte 14 of the line is 0xe9")
def file_in_latin_1(place: Path) -> None:
    steps(place, '{"prompt": "né"}'.encode("latin-1"))


@gives('rows.jsonl:1: no JSON object; expected {"column": …}, got list')
def array_in_place_of_an_object(place: Path) -> None:
    steps(place, '["?"]')


@gives("rows.jsonl must be JSON lines, an object on each; got JSON. Fix: srl-env data convert")
def array_in_place_of_lines(place: Path) -> None:
    (place / "rows.jsonl").write_text('[{"prompt": "?"}]')
    JsonlSource(place / "rows.jsonl")


@gives("path must be that of a file, e.g. 'problems.jsonl'; got int 3")
def number_in_place_of_a_path(place: Path) -> None:
    srl_env.make("srl/GSM8K-v0", path=3)


@gives("rows.jsonl:2: the id of an earlier row; which is ")
def row_that_is_there_twice(place: Path) -> None:
    row = '{"prompt": "?", "steps": ["a"], "answer": "1"}\n'
    steps(place, row + row)


@gives("rows.jsonl is empty; expected rows, a problem in each")
def empty_file(place: Path) -> None:
    steps(place, "")


@gives("split must have problems; got 'test' of ")
def file_too_small_to_be_split(place: Path) -> None:
    row = '{"id": "a", "prompt": "?", "steps": ["a"], "answer": "1"}\n'
    steps(place, row, split="test")


@gives("nowhere.jsonl: there is no such file or folder")
def file_that_is_not_there(place: Path) -> None:
    srl_env.make(f"steps:{place}/nowhere.jsonl")


@gives("must be a file of JSON lines; got a folder")
def folder_in_place_of_a_file(place: Path) -> None:
    JsonlSource(place)


@gives("rows.jsonl: Permission denied; expected a file of JSON lines")
def permission_denied(place: Path) -> None:
    path = rows(place, "{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", refuse)
        JsonlSource(path)


def refuse(path: Any, *arguments: Any, **options: Any) -> int:
    """As for a user who may not; the one who runs the tests often may everything."""
    raise PermissionError(13, "Permission denied", str(path))


@gives("the file was changed since it was opened; open it again")
def file_that_was_changed(place: Path) -> None:
    source = JsonlSource(path := rows(place, '{"prompt": "?"}\n'))
    again = pickled(source)
    path.write_text('{"prompt": "another"}\n')
    again[0]


@gives("its metadata is no JSON: Object of type set is not JSON serializable")
def metadata_that_cannot_be_stored(place: Path) -> None:
    write_jsonl(place / "out.jsonl", [problem(metadata={"x": {1}})])


# The machine


@gives("out.jsonl cannot be written: File too large. Fix: choose another place, or make room there")
def disk_full(place: Path) -> None:
    with files_of_at_most(64):
        write_jsonl(place / "out.jsonl", [counting_problem(4)])


@gives("/below/.lock: Not a directory. Fix: choose another place")
def folder_that_cannot_be_made(place: Path) -> None:
    target = str(rows(place, "", "file") / "below")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "mkdir", lambda self, **options: None)
        command("eval", "-m", "expert", "-e", CHAIN, "-n", "1", "-r", "1", "-o", target)


@gives("datasets is not installed; install it with: pip install 'srl-env[data]'")
def missing_extra(place: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "datasets", None)
        DatasetSource.from_hub("json")


# Models


@gives("no folder './nowhere/at/all'; give a folder that holds config.json and the weights")
def model_that_is_not_there(place: Path) -> None:
    loading().load("./nowhere/at/all", "cpu", "float32")


@gives("holds no config.json; it is not a Hugging Face checkpoint")
def folder_that_is_no_model(place: Path) -> None:
    loading().load(str(place), "cpu", "float32")


@gives("holds no tokenizer (tokenizer.json, tokenizer.model, vocab.json …); save one there")
def model_without_tokenizer(place: Path) -> None:
    rows(place, '{"model_type": "llama"}', "config.json")
    loading().load(str(place), "cpu", "float32")


@gives(", a 'bert' model (BertForMaskedLM)")
def model_of_another_kind(place: Path) -> None:
    rows(place, '{"model_type": "bert", "architectures": ["BertForMaskedLM"]}', "config.json")
    rows(place, "{}", "tokenizer.json")
    loading().load(str(place), "cpu", "float32")


@gives("cannot be read: ")
def weights_that_are_cut_off(place: Path) -> None:
    small = importlib.import_module("srl_agents.models.small")
    tokenizer = small.character_tokenizer("abc")
    small.build("lfm2-0.3m", tokenizer, seed=0).save_pretrained(place)
    tokenizer.save_pretrained(place)
    weights = place / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    loading().load(str(place), "cpu", "float32")


@gives("unknown device 'cuda:77': torch ")
def gpu_that_is_not_there(place: Path) -> None:
    loading().find_device("cuda:77")


@gives("unknown torch device 'gpu'. Fix: use 'cpu' or 'cuda'")
def device_of_no_kind(place: Path) -> None:
    loading().find_device("gpu")


@gives("is a run that has not finished; resume it (srl-env train --resume ")
def run_that_has_not_finished(place: Path) -> None:
    rows(place, json.dumps(CONFIG), "config.json")
    read_spec(str(place))


# Commands


@gives("'CartPole-v1' must be a ReasoningEnv to be played; got a CartPoleEnv")
def game_of_another_kind(place: Path) -> None:
    command("play", "CartPole-v1")


@gives("must not exist, because nothing is overwritten. Fix: another name, or another folder")
def package_that_is_there(place: Path) -> None:
    rows(place, "", "pyproject.toml")
    command("init", "some_tasks", "--out", str(place))


@gives("has no readable pyproject.toml (No such file or directory). Fix: give a folder that")
def folder_that_is_no_package(place: Path) -> None:
    command("check", str(place))


@gives("give a policy: -m expert, -m RUN, -m MODEL …")
def evaluation_of_nothing(place: Path) -> None:
    command("eval", "-e", CHAIN)


CONFIG: dict[str, Any] = {
    "out": "",
    "env": {"id": CHAIN},
    "model": {"path": "x"},
    "budget": {"updates": 1},
}


def loading() -> Any:
    """The module that loads models; it takes seconds to import."""
    return importlib.import_module("srl_agents.models.loading")


def pickled(value: Any) -> Any:
    pickle = importlib.import_module("pickle")
    return pickle.loads(pickle.dumps(value))


def ours(call: Callable[..., Any], *arguments: Any) -> None:
    """Calls; Gymnasium's own error for calls out of order counts as one of ours."""
    gymnasium = importlib.import_module("gymnasium")
    try:
        call(*arguments)
    except gymnasium.error.ResetNeeded as error:
        raise SrlEnvError(str(error)) from error


@pytest.mark.parametrize("name", MISTAKES)
def test_an_ordinary_mistake_is_said_in_words(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    mistake, message = MISTAKES[name]
    with pytest.raises(SrlEnvError) as caught:
        mistake(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value).strip()
    assert len(str(caught.value)) < 700


def test_there_are_fifty_of_them() -> None:
    assert len(MISTAKES) >= 50


# What is no mistake


@pytest.mark.parametrize(
    "text",
    [
        '{"prompt": "π ≤ 4 🙂", "steps": ["é"], "answer": "1"}\r\n',
        '\ufeff{"prompt": "π ≤ 4 🙂", "steps": ["é"], "answer": "1"}',
        '\n\n{"prompt": "π ≤ 4 🙂", "steps": ["é"], "answer": "1"}\n\n',
    ],
)
def test_windows_line_ends_marks_and_unicode_are_read(text: str, tmp_path: Path) -> None:
    made = srl_env.make(f"steps:{rows(tmp_path, text)}", split="all").unwrapped
    observation, _ = made.reset(options={"reward_mode": "srl"})
    assert "π ≤ 4 🙂" in observation
    assert made.step("<think>so</think>é")[1] == 1.0


def test_saving_and_loading_a_model_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small = importlib.import_module("srl_agents.models.small")
    policies = importlib.import_module("srl_agents.policies")
    tokenizer = small.character_tokenizer("abc")
    policy = policies.TransformersPolicy(small.build("lfm2-0.3m", tokenizer, seed=0), tokenizer)
    policy.save(tmp_path)
    policies.TransformersPolicy.from_pretrained(str(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_a_decorated_reward_mode_is_pickled_by_its_name() -> None:
    srl = importlib.import_module("srl_env.rewards.registry")
    mode = reward_mode("pickled-by-name")(in_words)
    try:
        assert pickled(mode) is mode
        alone = FunctionMode("alone", in_words, reward_range=(0.0, 1.0))
        assert pickled(alone) == alone
    finally:
        del srl._REGISTRY["pickled-by-name"]

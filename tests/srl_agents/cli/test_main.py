"""The command line, through typer's runner and, where signals matter, as a process."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import srl_env
from srl_agents.cli.main import app
from srl_agents.evaluation.contrasts import Comparison
from srl_agents.methods.shipped import methods
from srl_agents.models.small import build, character_tokenizer
from srl_agents.runs.config import make_config
from srl_agents.runs.lock import held
from srl_agents.runs.settings import read_tree
from srl_tasks.generated.modular_chain import ALPHABET
from tests.srl_agents.policies.servers.loopback import Loopback, chat, refuses, says

CHAIN = "srl/ModularChain-v0"
SPLIT_ALL = '{"split": "all"}'
SMALL = '{"difficulty": 1, "max_problems": 20, "max_steps": 3}'


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a model that knows nothing."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = character_tokenizer(ALPHABET)
    build("lfm2-0.3m", tokenizer, seed=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def fails(*arguments: str) -> str:
    """The one line that a user's mistake ends with."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


def train_arguments(model: str, *more: str) -> tuple[str, ...]:
    options = [
        "env.options={difficulty=1, max_problems=20, max_steps=3}",
        "train.batch=2",
        "train.objective.group_size=2",
        "train.objective.max_groups=1",
        "train.objective.max_tokens=8",
        "log.tensorboard=false",
        "checkpoint.every=1",
    ]
    sets = [part for option in options for part in ("--set", option)]
    return ("train", "-e", CHAIN, "-m", model, "--method", "sft", *sets, *more)


# Help, list, check


def test_help_teaches_with_commands_that_exist() -> None:
    for command in ("list", "init", "check", "play", "train", "eval", "compare"):
        result = run(command, "--help")
        assert result.exit_code == 0
        assert f"srl-env {command}" in result.output


def test_the_methods_named_in_the_help_are_those_there_are() -> None:
    said = " ".join(run("train", "--help").output.split())
    assert said.partition("Methods: ")[2].partition(". ")[0].split(", ") == methods()


def test_the_help_of_compare_sets_what_a_comparison_has() -> None:
    said = " ".join(run("compare", "--help").output.split())
    assert "--set run.train.lr=3e-4" in said
    assert "srl-env compare --init writes compare.toml" in said
    assert "--set train.lr=3e-4" in " ".join(run("train", "--help").output.split())


HELLO = """
import typer
from srl_env.errors import BadOption

app = typer.Typer()

@app.command()
def hello(name: str) -> None:
    "Greet someone."
    if name == "nobody":
        raise BadOption("name must be somebody; got nobody")
    typer.echo(f"Hello, {name}.")
"""


def test_another_package_adds_a_command_with_one_file_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "greeter.py").write_text(HELLO)
    about = tmp_path / "greeter-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\n")
    points = "[srl_env.commands]\nhello = greeter:app\nlost = greeter.nowhere:app\n"
    (about / "entry_points.txt").write_text(points)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "srl_agents", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    shown = ran("--help")
    assert "hello" in shown.stdout
    assert "Greet someone." in shown.stdout
    assert "warning: command 'lost' cannot be loaded: ModuleNotFoundError" in shown.stderr
    assert ran("hello", "Ada").stdout == "Hello, Ada.\n"
    wrong = ran("hello", "nobody")
    assert (wrong.returncode, wrong.stderr.splitlines()[-1]) == (
        2,
        "error: name must be somebody; got nobody",
    )


def test_without_a_command_help_is_shown() -> None:
    assert "list" in run().output


def test_a_wrong_command_is_suggested() -> None:
    result = run("trian")
    assert result.exit_code == 2
    assert "'train'" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["check", CHAIN, "--hostile", "50"],
        ["eval", "-m", "expert", "-e", CHAIN, "-n", "2"],
        ["train", "-e", CHAIN, "-m", "x", "--seconds", "1", "--dry-run"],
    ],
)
def test_what_needs_no_model_loads_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom srl_agents.cli import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit as end: assert not end.code\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"


def test_without_torch_a_command_that_needs_it_says_what_to_install(model: str) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        f"from srl_agents.cli import app; app(['eval', '-m', {model!r}, '-e', {CHAIN!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "torch is not installed; install it with: pip install 'srl-env[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_list_shows_every_environment_and_reward_mode() -> None:
    output = run("list").output
    for env_id in srl_env.environment_ids():
        assert env_id in output
    assert "train, dev, test" in output
    assert "rlvr, score, srl" in output
    assert "Step measures: accepts, characters, maths, numbers, tokens" in output
    assert "cannot be loaded" not in output


def test_list_can_be_narrowed() -> None:
    output = run("list", "chain").output
    assert CHAIN in output
    assert "srl/WordProblem-v0" not in output
    assert "Did you mean 'srl/ModularChain-v0'" in fails("list", "srl/ModularChin-v0")


def test_check_passes_for_what_ships() -> None:
    result = run("check", CHAIN, "--kwargs", SMALL, "--problems", "1", "--hostile", "50")
    assert result.exit_code == 0
    assert "nothing leaks" in result.output


def test_check_fails_with_exit_code_1_where_a_promise_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_env.py").write_text(
        "import gymnasium\n"
        "from srl_env.testing import CountingEnv\n"
        "class BrokenEnv(CountingEnv):\n"
        "    'Never legal.'\n"
        "    def legal(self, problem, actions, action): return False\n"
        "gymnasium.register('tests/Broken-v0', 'broken_env:BrokenEnv',"
        " order_enforce=False, disable_env_checker=True)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    result = run("check", "broken_env:tests/Broken-v0", "--hostile", "50")
    assert result.exit_code == 1
    assert "calls the expert's step 0" in " ".join(re.sub("[│┃]", " ", result.output).split())


def test_piped_output_is_neither_truncated_nor_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    output = run("list").output
    assert 'Solve a word problem line by line; the last line is "#### 72".' in output
    assert max(map(len, output.splitlines())) < 200


def test_check_takes_files_and_folders_and_says_what_is_wrong(tmp_path: Path) -> None:
    result = run("init", "cli-tasks", "--kind", "tools")
    assert result.exit_code == 0, result.output
    assert "srl-env check cli_tasks" in result.output
    result = run("check", "cli_tasks", "--hostile", "20")
    assert result.exit_code == 0, result.output
    assert "21 checks, all passed" in result.output
    Path("rows.jsonl").write_text('{"prompt": "1 + 1?", "steps": ["#### 3"], "answer": "2"}\n')
    result = run("check", "steps:rows.jsonl", "--hostile", "20", "--kwargs", SPLIT_ALL)
    assert result.exit_code == 1
    assert "FAIL the expert's whole solution is correct" in result.output
    assert "where: rows.jsonl:1" in result.output


def test_play_saves_what_was_played_and_a_file_is_trained_on(model: str) -> None:
    typed = "say\n\n:quit\n"
    asked = ["play", CHAIN, "--kwargs", SMALL, "--mode", "srl", "--problem", "0"]
    result = CliRunner().invoke(app, asked, input=typed)
    assert result.exit_code == 0, result.output
    assert "0 episodes finished. Episodes: runs/play-001" in result.output
    assert Path("runs/play-001/played.jsonl").exists()
    row = {"prompt": "ab", "steps": ["a1", "b2"], "answer": "3"}
    Path("rows.jsonl").write_text(
        "".join(json.dumps({**row, "id": f"{i}"}) + "\n" for i in range(20))
    )
    arguments = ["train", "-e", "steps:rows.jsonl", "-m", model, "--method", "srl", "--dry-run"]
    result = run(*arguments, "--set", "budget.updates=1")
    assert json.loads(result.output)["env"]["id"] == "steps:rows.jsonl"
    result = run("eval", "-m", "expert", "-e", "steps:rows.jsonl", "--split", "all", "-r", "1")
    assert result.exit_code == 0, result.output
    assert "100.0" in result.output


# Mistakes


def test_train_takes_the_environments_arguments_as_json() -> None:
    given = [
        "--kwargs",
        '{"difficulty": 5, "hide_thoughts": true}',
        "--set",
        "env.options.noise=0.5",
    ]
    planned = run("train", "-e", CHAIN, "-m", "x", "--seconds", "1", *given, "--dry-run")
    options = json.loads(planned.stdout)["env"]["options"]
    assert options == {"difficulty": 5, "hide_thoughts": True, "noise": 0.5}
    given = ["--kwargs", '{"source": "sample", "path": null}']
    planned = run("train", "-e", "srl/GSM8K-v0", "-m", "x", "--seconds", "1", *given, "--dry-run")
    assert json.loads(planned.stdout)["env"]["options"] == {"source": "sample", "path": None}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "srl/ModularChian-v0"], "Did you mean 'srl/ModularChain-v0'?"),
        (["check", CHAIN, "--kwargs", "{"], "--kwargs must be a JSON object"),
        (
            ["check", CHAIN, "--kwargs", "[1]"],
            "; got [1]",
        ),
        (["check", CHAIN, "--kwargs", '{"dificulty": 3}'], "Did you mean 'difficulty'?"),
        (["check", CHAIN, "--kwargs", '{"difficulty": 99}'], "difficulty must be a number"),
        (["check", CHAIN, "--seconds=-1"], "seconds must be seconds, above 0"),
        (["check", CHAIN, "--seconds", "nan"], "seconds must be seconds, above 0"),
        (["eval"], "give a policy"),
        (["eval", "-m", "expert"], "give an environment"),
        (["eval", "-m", "exprt", "-e", CHAIN], "Did you mean 'expert'?"),
        (["eval", "-m", "expert", "-e", "srl/X-v0"], "no environment 'srl/X-v0'"),
        (["eval", "-m", "expert", "-e", CHAIN, "--split", "tset"], "'train', 'dev' or 'test'"),
        (["eval", "-m", "expert", "-e", CHAIN, "--granularity", "token"], "granularity"),
        (["eval", "-m", "expert", "-e", CHAIN, "--kwargs", '{"split": "dev"}'], "by --split"),
        (["eval", "-m", "./nowhere/at/all", "-e", CHAIN], "no folder './nowhere/at/all'"),
        (
            ["eval", "--resume", "nowhere"],
            "--resume must be the folder of an evaluation; got nowhere, which",
        ),
        (["train", "-e", CHAIN], "model is missing"),
        (["train", "-e", CHAIN, "-m", "x"], "budget is missing"),
        (["train", "-e", CHAIN, "-m", "x", "--seconds", "-1"], "budget.seconds"),
        (["train", "-m", "x", "--seconds", "1", "--method", "slr"], "env is missing"),
        (["train", "-e", CHAIN, "-m", "x", "--seconds", "1", "--method", "slr"], "mean 'srl'?"),
        (["train", "--config", "none.toml"], "none.toml cannot be read"),
        (
            ["train", "--resume", "nowhere"],
            "--resume must be the folder of a run; got nowhere, which",
        ),
        (["train", "none.toml"], "none.toml cannot be read"),
        (
            ["train", "a.toml", "--config", "b.toml"],
            "got a.toml and --config b.toml",
        ),
        (["train", "--resume", "a", "--config", "b"], "leave b out"),
        (["train", "-e", CHAIN, "-m", "x", "--seconds", "1", "--set", "lr"], "KEY=VALUE"),
        (["train", "-e", CHAIN, "-m", "x", "--seconds", "1", "--set", "sed=1"], "mean 'seed'?"),
        (["compare", "none.toml"], "none.toml cannot be read"),
        (["compare"], "compare takes one TOML or JSON file; got none. Fix: srl-env compare --init"),
        (["compare", "a.toml", "b.toml"], "one TOML or JSON file; got a.toml b.toml"),
        (["compare", "a.toml", "--init", "b.toml"], "one TOML or JSON file; got a.toml b.toml"),
    ],
)
def test_mistakes_end_with_one_line(arguments: list[str], message: str) -> None:
    assert message in fails(*arguments)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "option", "given"),
    [
        (["train", "--seconds", "abc"], "'--seconds'", "'abc'"),
        (["eval", "-m", "expert", "-n", "two"], "'--problems'", "'two'"),
        (["compare", "a.toml", "--jobs", "0"], "'--jobs'", "'0'"),
        (["swe", "mine", ".", "-o", "x", "--jobs", "some"], "'--jobs'", "'some'"),
        (["swe", "mine", ".", "-o", "x", "--issues", "none.json"], "'--issues'", "'none.json'"),
    ],
)
def test_a_value_that_an_option_cannot_take_is_repeated(
    arguments: list[str], option: str, given: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert option in result.stderr
    assert given in result.stderr


def test_a_model_that_cannot_be_read_leaves_no_folder(model: str) -> None:
    damaged = Path(shutil.copytree(model, "damaged"))
    (damaged / "model.safetensors").write_bytes(b"cut off")
    asked = ["train", "-e", CHAIN, "-m", "damaged", "--seconds", "1", "-o"]
    assert "cannot be read" in fails(*asked, "runs/first")
    assert not Path("runs/first").exists()
    Path("runs/mine").mkdir()
    Path("runs/mine/notes.txt").write_text("not the run's")
    assert "cannot be read" in fails(*asked, "runs/mine")
    assert Path("runs/mine/notes.txt").exists()


@pytest.mark.parametrize("dry", [["--dry-run"], []], ids=["dry", "trained"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["-e", "srl/Nope-v0"], "no environment 'srl/Nope-v0'"),
        (["-m", "models/missing"], "no folder 'models/missing'"),
        (["--set", "env.problems=hard.json"], "hard.json: No such file"),
    ],
)
def test_a_training_that_cannot_work_leaves_no_folder(
    wrong: list[str], message: str, dry: list[str]
) -> None:
    asked = ["train", "-e", CHAIN, "-m", "x", "--seconds", "1", "-o", "runs/first", *wrong, *dry]
    assert message in fails(*asked)
    assert not Path("runs").exists()


def test_a_mistake_in_a_file_names_it() -> None:
    Path("bad.toml").write_text("out = [")
    assert "bad.toml" in fails("train", "--config", "bad.toml")
    assert "bad.toml" in fails("compare", "bad.toml")


# eval


def test_eval_writes_scores_episodes_and_settings() -> None:
    result = run("eval", "-m", "expert", "-e", CHAIN, "-n", "6", "-r", "2", "--similarity")
    assert result.exit_code == 0, result.output
    folder = Path("runs/eval-expert-001")
    found = read_tree(folder / "result.json")
    assert found["estimates"]["pass@1"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["source"] == "modular_chain/test/7"
    assert (found["env"], found["policy"], found["failures"]) == (CHAIN, "expert", {})
    assert len((folder / "episodes/000000.jsonl").read_text().splitlines()) == 6 * 6
    for said in (
        "expert on 6 problems of modular_chain/test/7",
        "pass@1 (avg@2) %",
        "100.0",
        "legal and correct %",
        "greedy %",
    ):
        assert said in result.output
    # Another evaluation goes into another folder; the first is left alone.
    assert run("eval", "-m", "random", "-e", CHAIN, "-n", "2", "-r", "1").exit_code == 0
    assert run("eval", "-m", "expert", "-e", CHAIN, "-n", "1", "-r", "1").exit_code == 0
    assert sorted(p.name for p in Path("runs").iterdir()) == [
        "eval-expert-001",
        "eval-expert-002",
        "eval-random-001",
    ]
    assert "holds an evaluation" in fails("eval", "-m", "expert", "-e", CHAIN, "-o", str(folder))


def test_a_resumed_evaluation_takes_no_other_options() -> None:
    first = run("eval", "-m", "expert", "-e", CHAIN, "-n", "2", "-r", "1", "--out", "e")
    assert first.exit_code == 0, first.output
    assert "leave out --problems, --policy" in fails("eval", "--resume", "e", "-n5", "-m", "random")
    assert run("eval", "--resume", "e").exit_code == 0


def test_a_person_can_be_evaluated() -> None:
    result = CliRunner().invoke(
        app, ["eval", "-m", "human", "-e", CHAIN, "--kwargs", SMALL, "-n", "1"], input="#x1;\n\n"
    )
    assert result.exit_code == 0, result.output
    assert "Your action" in result.output
    assert read_tree("runs/eval-human-001/result.json")["episodes"] == 1


def interrupted(arguments: Sequence[str], file: Path) -> str:
    """What the command says that gets a Ctrl-C once it has written to a file."""
    command = [sys.executable, "-c", "from srl_agents.cli import app; app()", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not (file.exists() and file.stat().st_size):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130
    assert "Traceback" not in said
    return said


def test_an_interrupted_eval_says_how_to_resume_and_resumes() -> None:
    asked = ["eval", "-m", "expert", "-e", CHAIN, "-n", "1200", "-r", "1", "-o", "out"]
    episodes = Path("out/episodes/000000.jsonl")
    assert "srl-env eval --resume out" in interrupted(asked, episodes)
    before = episodes.read_text().splitlines()
    assert 1 <= len(before) < 2400
    assert run("eval", "--resume", "out").exit_code == 0
    after = episodes.read_text().splitlines()
    assert after[: len(before)] == before
    assert len(after) == 2400


# train, and what comes after it


def test_dry_run_prints_a_configuration_that_can_be_run(model: str) -> None:
    result = run(*train_arguments(model, "--seconds", "5", "--seed", "3", "--dry-run"))
    assert result.exit_code == 0, result.output
    config = make_config(json.loads(result.output))
    assert (config.seed, config.budget.seconds, config.env.options["difficulty"]) == (3, 5.0, 1)
    assert config.out == "runs/sft-001"
    (stage,) = config.resolved_method.stages
    assert (stage.name, stage.batch) == ("sft", 2)
    assert not Path("runs").exists()


def test_a_run_is_trained_evaluated_and_resumed(model: str) -> None:
    result = run(*train_arguments(model, "--set", "budget.updates=2", "-o", "first"))
    assert result.exit_code == 0, result.output
    assert "Evaluate it: srl-env eval -m first" in result.output
    assert "2 updates" in result.output
    assert "Computation: shared prefixes, each computed once" in result.stderr
    last = result.output.splitlines()[-1]
    assert last.startswith("What was learned: stage 'sft': the loss ")

    # On its own environment, with its own arguments, on the test split.
    result = run("eval", "-m", "first", "-n", "2", "-r", "1")
    assert result.exit_code == 0, result.output
    settings = read_tree("runs/eval-first-001/settings.json")
    assert (settings["env"], settings["arguments"]["difficulty"]) == (CHAIN, 1)
    assert read_tree("runs/eval-first-001/result.json")["source"] == "modular_chain/test/1"
    assert "were trained on in first" in fails("eval", "-m", "first", "--split", "train")

    # A run is not overwritten, but goes on with a larger budget.
    again = train_arguments(model, "--set", "budget.updates=2", "-o", "first")
    assert "must not hold a run; got one" in fails(*again)
    assert "Progress is saved" not in run(*again).stderr  # nothing was
    assert "is a part of a run. Fix: --resume " in fails("train", "--resume", "first/model")
    result = run("train", "--resume", "first", "--set", "budget.updates=3")
    assert result.exit_code == 0, result.output
    assert "3 updates" in result.output


def test_no_command_writes_into_a_folder_that_another_process_writes(model: str) -> None:
    assert run(*train_arguments(model, "-o", "run", "--set", "budget.updates=1")).exit_code == 0
    evaluation = ("-e", CHAIN, "--kwargs", SMALL, "-n", "1", "-r", "1", "--max-steps", "1")
    assert run("eval", "-m", "expert", *evaluation, "-o", "eval").exit_code == 0
    compare = {"out": "compare", "methods": ["sft"], "seeds": [0], "run": {"env": {"id": CHAIN}}}
    compare["run"] |= {"model": {"path": model}, "budget": {"updates": 1}}
    Path("compare.json").write_text(json.dumps(compare))
    for folder, arguments in {
        "run": ("train", "--resume", "run", "--set", "budget.updates=2"),
        "fresh": train_arguments(model, "-o", "fresh", "--set", "budget.updates=1"),
        "eval": ("eval", "--resume", "eval"),
        "new": ("eval", "-m", "expert", *evaluation, "-o", "new"),
        "eval-rescored": ("rescore", "eval", "--reward-mode", "format"),
        "played": ("play", CHAIN, "-o", "played"),
        "compare": ("compare", "compare.json"),
    }.items():
        with held(Path(folder)):
            assert f"{folder} must be written by one process at a time" in fails(*arguments)
            assert sorted(path.name for path in Path(folder).iterdir())[:1] == [".lock"]
    assert len(Path("run/metrics.jsonl").read_text().splitlines()) == 2  # and the stage's end


def test_an_interrupted_training_says_how_to_resume(model: str) -> None:
    asked = train_arguments(model, "--set", "budget.updates=100000", "-o", "long")
    said = interrupted(asked, Path("long/metrics.jsonl"))
    assert "srl-env train --resume long" in said
    assert list(Path("long/checkpoints").glob("update-*"))
    assert "has not finished" in fails("eval", "-m", "long")


# compare


COMPARISON = {
    "out": "c",
    "methods": ["srl", "rlvr"],
    "run": {"env": {"id": CHAIN}, "model": {"path": "org/model"}, "budget": {"updates": 1}},
}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run.env.id=srl/ModularChian-v0", "Did you mean 'srl/ModularChain-v0'?"),
        ("run.model.path=runs/nowhere", "no folder 'runs/nowhere'"),
        ("evaluation.split=tst", "evaluation.split is 'tst'"),
        ("evaluation.split=train", "were trained on in this comparison"),
        ("evaluation.ks=[16]", "evaluation.ks: pass@k needs k of at most rollouts, 8; got [16]"),
        ("run.budgt.updates=3", "no configuration key 'run.budgt'. Did you mean 'run.budget'?"),
    ],
)
def test_a_comparison_that_cannot_work_leaves_no_folder(override: str, message: str) -> None:
    Path("c.json").write_text(json.dumps(COMPARISON))
    assert message in fails("compare", "c.json", "--set", override)
    assert not Path("c").exists()


def test_a_file_without_a_table_is_an_error_of_one_line() -> None:
    Path("list.json").write_text("[1, 2]")
    for command in (["train", "--config", "list.json"], ["compare", "list.json"]):
        assert "list.json must be a JSON object" in fails(*command)


def test_compare_writes_one_report(model: str) -> None:
    tree = {
        "methods": ["sft"],
        "out": "unused",
        "run": make_config(json.loads(run(*_dry(model)).output)).model_dump(mode="json"),
        "evaluation": {"problems": 2, "rollouts": 2, "ks": [1, 2]},
        "curve": {"every_s": None},
    }
    for key in ("out", "seed", "method"):
        del tree["run"][key]  # type: ignore[attr-defined]
    Path("c.json").write_text(json.dumps(tree))
    planned = run("compare", "c.json", "--dry-run")
    assert [job["method"] for job in json.loads(planned.output)] == ["base", "sft"]
    result = run("compare", "c.json", "--out", "c", "--set", "seeds=[4]")
    assert result.exit_code == 0, result.output
    assert "Gain in percentage points of pass@1 over the base model" in result.output
    assert sorted(p.name for p in Path("c").glob("re*")) == [
        "report.html",
        "report.md",
        "report.png",
        "results.json",
    ]
    assert [r.seed for r in Comparison.load(Path("c/results.json")).of("sft")] == [4]
    assert "trian" in fails("compare", "c.json", "--set", "run.trian.lr=1")


def test_compare_of_finished_runs_names_the_command_that_does_it() -> None:
    for folder in ("one", "my two"):
        Path(folder).mkdir()
    said = fails("compare", "one", "my two")
    assert "Fix: finished runs are compared by srl-env view one 'my two'" in said
    assert "finished runs are compared by srl-env view one" in fails("compare", "one", "--init")


def test_the_file_that_compare_writes_needs_only_a_model(model: str) -> None:
    assert "run.model.path" in run("compare", "--init").output
    assert "run.model.path is missing" in fails("compare", "compare.toml", "--dry-run")
    text = Path("compare.toml").read_text()
    assert text.count("\n# path = ") == 1
    Path("compare.toml").write_text(text.replace('# path = "runs/base/model"', f'path = "{model}"'))
    planned = run("compare", "compare.toml", "--dry-run")
    assert planned.exit_code == 0, planned.output
    methods = [job["method"] for job in json.loads(planned.output)]
    assert methods == ["base", *["rlvr", "srl-rlvr"] * 3]
    before = Path("compare.toml").read_text()
    assert "compare.toml exists and is not overwritten" in fails("compare", "--init")
    assert Path("compare.toml").read_text() == before


@pytest.mark.parametrize("commented", ["run.train", "changes.srl-rlvr.stages.srl"])
def test_what_the_written_file_only_suggests_can_be_turned_on(commented: str, model: str) -> None:
    run("compare", "--init", "c.toml")
    lines = Path("c.toml").read_text().replace('# path = "runs/base/model"', f'path = "{model}"')
    at = lines.index(f"# [{commented}]")
    Path("c.toml").write_text(lines[:at] + lines[at:].replace("# ", "", 1).replace("# lr", "lr", 1))
    assert run("compare", "c.toml", "--dry-run").exit_code == 0


def _dry(model: str) -> tuple[str, ...]:
    return train_arguments(model, "--set", "budget.updates=1", "--dry-run")


# a model on a server


def test_eval_of_a_model_on_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai")
    monkeypatch.setenv("SERVER_KEY", "secret")
    with Loopback(says(chat("fine")), refuses(500), answer=lambda _: chat("a1;")) as server:
        result = run(
            "eval", "-m", "openai:org/model", "--base-url", server.base_url, "--api-key-env",
            "SERVER_KEY", "--policy-kwargs", '{"retries": 0, "concurrency": 1, "prices": [1, 2]}',
            "-e", CHAIN, "--kwargs", SMALL, "-n", "3", "-r", "2", "--no-greedy", "-o", "out",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        assert {request["key"] for request in server.requests} == {"Bearer secret"}
    found = read_tree(Path("out/result.json"))
    assert found["failures"] == {"ServerError": 1}
    assert found["usage"]["requests"] == len(server.requests)
    assert "failed: ServerError" in result.stdout
    assert f"{len(server.requests)}" in result.stdout
    assert "secret" not in Path("out/settings.json").read_text()
    assert run("eval", "--resume", "out").exit_code == 0  # nothing is asked again


def test_an_evaluation_that_an_error_stopped_says_how_to_resume() -> None:
    pytest.importorskip("openai")
    options = '{"max_requests": 12, "concurrency": 1}'
    with Loopback(answer=lambda _: chat("a1;")) as server:
        arguments = ["-m", "openai:m", "--base-url", server.base_url, "--policy-kwargs", options]
        shape = ["-n", "9", "-r", "1", "--no-greedy", "--at-once", "1", "-o", "a folder"]
        stopped = run("eval", *arguments, "-e", CHAIN, "--kwargs", SMALL, *shape)
    said = stopped.stderr
    assert "max_requests=12" in said
    assert "Progress is saved" in said
    assert "srl-env eval --resume 'a folder'" in said


def test_mistakes_with_a_server_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    chain = ("-e", CHAIN, "--kwargs", SMALL)
    assert "OPENAI_API_KEY is not set" in fails("eval", "-m", "openai:m", *chain)
    assert "no argument of RandomPolicy" in fails(
        "eval", "-m", "random", "--base-url", "http://x/v1", *chain
    )
    assert "'retry'. Did you mean 'retries'?" in fails(
        "eval", "-m", "openai:m", "--policy-kwargs", '{"retry": 1}', *chain
    )

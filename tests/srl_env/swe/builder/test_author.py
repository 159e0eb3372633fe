"""Tasks whose bugs and words a model writes: a fake model, and everything else as it is."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from srl_env.errors import Failure, LimitReached, PolicyFailure
from srl_env.policy import Generation, Sampling
from srl_env.sandbox import Sandbox
from srl_env.swe.builder.author.author import Author, recorded_usage
from srl_env.swe.builder.build import build_tasks
from srl_env.swe.builder.journal import Journal, journal_path
from srl_env.swe.builder.options import BuildOptions
from srl_env.swe.builder.report import BuildReport
from srl_env.swe.builder.reproduction import Reproduction
from srl_env.swe.builder.script import Outcome
from srl_env.swe.builder.trial import failure_name
from srl_env.swe.builder.validation import validate_tasks
from srl_env.swe.task_folder import TaskSet
from srl_env.text.prompt import Messages
from tests.srl_env.swe.builder.conftest import SHOP, write_repository
from tests.srl_env.swe.builder.test_answer import NEW, OLD, answer, block
from tests.srl_env.swe.claims import false_claims

MOST = "    return sorted(prices, reverse=True)[:count]"
SHOW = "from shop.prices import dearest\n\nprint(dearest([3, 1, 2], 2))\n"
WORDS = """`{name}` gives a wrong result

With shop, the result of `{name}` is not what I expect. It adds the discount to the sum. {values}
"""
# {kind of bug: what the model writes for total, for dearest}
BUGS = {
    "A changed contract": (
        answer(block(OLD, OLD.replace("1 - discount", "discount"))),
        answer(block(MOST, MOST.replace("count]", "count - 1]")), example=SHOW),
    ),
    "A broken invariant": (
        answer(block(OLD, NEW)),
        answer(block(MOST, MOST.replace("True", "False")), fails="KeyError", example=SHOW),
    ),
    "A missing case": (
        "I do not write bugs.",
        answer(block(MOST, MOST.replace("prices,", "set(prices),")), example=SHOW),
    ),
    "A wrong rule": (
        answer(block(OLD, OLD.replace("(1 -", "max(1,")), example=SHOW),
        answer(block(MOST, MOST.replace("True", "False")), example=SHOW),
    ),
}


@dataclass
class Used:
    requests: int = 0


class Model:
    """Writes ``BUGS`` and ``WORDS``. limit: of requests; fails: the numbers of those that fail.

    gone_after: the number of requests after which there is no server.
    """

    def __init__(self, limit: int = 999, fails: Sequence[int] = (), gone_after: int = 999) -> None:
        self.usage, self.limit, self.fails, self.gone_after = Used(), limit, fails, gone_after
        self.prompts: list[str] = []

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        assert len(sampling.seeds) == len(batch) == 1
        if self.usage.requests == self.limit:
            raise LimitReached(f"max_requests={self.limit} is reached after some")
        if self.usage.requests == self.gone_after:
            raise PolicyFailure("the server is gone")
        prompt = batch[0][0]["content"]
        self.usage.requests += 1
        self.prompts.append(prompt)
        if self.usage.requests in self.fails:
            return [PolicyFailure("the server is away")]
        return [Generation(written(prompt))]


def written(prompt: str) -> str:
    """The answer to a prompt."""
    return _words(prompt) if "report it" in prompt else _bug(prompt)


def _bug(prompt: str) -> str:
    total, dearest = next(texts for kind, texts in BUGS.items() if kind in prompt)
    return dearest if "must show in `dearest`" in prompt else total


def _words(prompt: str) -> str:
    name = "dearest" if "dearest(" in prompt else "total"
    _, _, _, actual, _, expected, _ = map(str.strip, prompt.split("```"))
    return WORDS.format(name=name, values=f"It prints `{actual}` instead of `{expected}`.")


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SRL_ENV_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox
) -> tuple[Path, BuildReport, Model]:
    """An uninterrupted build: its folder, its report and its model."""
    folder, model = tmp_path_factory.mktemp("whole"), Model()
    return folder / "tasks", build(folder, model, sandbox), model


def build(folder: Path, model: Model, sandbox: Sandbox, **options: Any) -> BuildReport:
    code = write_repository(folder / "shop", SHOP)
    chosen = BuildOptions(max_bugs=1, jobs=1, model="fake", **options)
    return build_tasks(code, folder / "tasks", chosen, policy=model, sandbox=sandbox)


def test_a_model_writes_bugs_and_words_and_runs_decide(
    whole: tuple[Path, BuildReport, Model], sandbox: Sandbox
) -> None:
    folder, report, _ = whole
    # Eight bugs, two of each kind. One answer has none; of the others three become tasks.
    assert report.dropped == {
        "model: the answer has no blocks in the format": 1,
        "no test notices it": 1,  # a set of different prices
        "a test fails for another reason than the model states": 1,  # KeyError
        "the same code as another": 1,  # but this was tried
        "one result is all that is wrong: the example would give it away": 1,
    }
    assert report.kinds == {"written_contract": 1, "written_invariant": 1, "written_rule": 1}
    assert report.model == {
        "answers": 8,
        "unusable": 1,
        "tasks": 3,
        "acceptance": 0.375,
        "sentences": 9,  # a title and two sentences of each
        "dropped_sentences": 3,
        "failures": {},
        "usage": {"requests": 11},
        "stopped": "",
    }
    tasks = TaskSet(folder)
    for task in tasks:
        lines = task.statement.splitlines()
        assert lines[0] in ("`total` gives a wrong result", "`dearest` gives a wrong result")
        assert re.fullmatch(r"With shop, .*\. It prints `.*` instead of `.*`\.", lines[2])
        assert "discount to the sum" not in task.statement
        assert not false_claims(task.statement, task.steps)
    assert all(found.sound for found in validate_tasks(tasks, times=1, sandbox=sandbox))


def test_a_build_that_was_interrupted_and_reached_a_limit_ends_like_another(
    whole: tuple[Path, BuildReport, Model], tmp_path: Path, sandbox: Sandbox
) -> None:
    with pytest.raises(PolicyFailure, match="the server is gone"):
        build(tmp_path, Model(gone_after=5), sandbox)
    out, second, third = tmp_path / "tasks", Model(limit=4), Model()
    report = build(tmp_path, second, sandbox)  # the other three bugs, and words of one
    assert "max_requests=4 is reached" in report.model["stopped"]
    assert report.kept == len(TaskSet(out)) == 3
    assert recorded_usage(journal_path(out, "shop")) == {"requests": 5 + 4}
    report = build(tmp_path, third, sandbox)
    assert report.model["usage"] == {"requests": 11}
    assert second.prompts + third.prompts == whole[2].prompts[5:]
    assert not journal_path(out, "shop").exists()
    assert (out / "tasks.jsonl").read_bytes() == (whole[0] / "tasks.jsonl").read_bytes()


def test_failed_requests_are_counted_and_kinds_have_quotas(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    model = Model(fails=(1,))
    report = build(tmp_path, model, sandbox, max_tasks=2)
    assert report.kept == 2
    assert max(report.kinds.values()) == 1
    assert report.model["failures"] == {"PolicyFailure": 1}
    bugs = sum("realistic bugs" in prompt for prompt in model.prompts)
    assert report.model["answers"] == bugs - 1
    assert 4 <= bugs < 8  # of four kinds, of each ceil(2 / 4) = 1 at once


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a.py:7: in t\n    assert f() == 1\nE   assert 2 == 1\nE    + 2", "AssertionError"),
        ("a.py:2: in f\n    {}[1]\n    ^^^^^\nE   KeyError: 1", "KeyError"),
        ("a.py:2: in f\n    raise Gone\nE   shop.errors.Gone", "Gone"),
        ("x\nE   KeyError: 1\n\nThe above …\n    y\nE   ValueError: x: y\nE   z: z", "ValueError"),
        ("a.py:3: in t\n    with …:\nE   Failed: DID NOT RAISE ValueError", "AssertionError"),
        ("E   - a long difference", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_exception_of_a_failed_test_is_read(text: str, name: str) -> None:
    assert failure_name(text) == name


def test_the_last_count_of_several_threads_is_the_one_that_is_saved(tmp_path: Path) -> None:
    saving, saved = threading.Event(), threading.Event()

    class SlowFirst(Journal):
        def replace(self, stage: str, key: str, found: Any) -> None:
            if not saving.is_set():
                saving.set()
                saved.wait(0.5)  # the second count comes in between, if it may
            super().replace(stage, key, found)
            saved.set()

    class Counted(Model):
        concurrent = True

        def generate(
            self, batch: Sequence[Messages], sampling: Sampling
        ) -> Sequence[Generation | Failure]:
            if "second" in batch[0][0]["content"]:
                saving.wait(5)
            self.usage.requests += 1
            return [Generation("nothing")]

    path = tmp_path / "journal.jsonl"
    author = Author(Counted(), SlowFirst(path, {}), BuildOptions())
    examples = [
        Reproduction(f"print('{name}')", "", Outcome("1", "", ()), Outcome("2", "", ()))
        for name in ("first", "second")
    ]
    author.in_parallel(lambda shown: author.words("shop", shown), examples)
    assert recorded_usage(path) == {"requests": 2}

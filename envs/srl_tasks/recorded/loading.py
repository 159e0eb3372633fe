"""Where the environments with recorded data get their problems: a file, the hub, or the sample.

Opening reads every row once, to find the rows of the split and repeated ids. The exception is a
file of more than ``READ_AT_ONCE`` rows with split "all", which opens at once: its rows are read
when they are drawn. Bad rows and repeated ids are then found by ``srl-env check``, ``srl-env data
inspect`` or ``problems.know_ids()``.
Sources stay open, so that a process with thousands of environments reads a file once.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from srl_env.data import FRACTIONS, Converter, DatasetSource, JsonlSource, RowSource
from srl_env.data.files.kinds import kind_of_file
from srl_env.data.files.tables import TableSource
from srl_env.data.sources.jsonl import file_path
from srl_env.data.sources.source import OnBadRow
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadData, BadOption, UnknownName

Source = Literal["hub", "sample"]
Split = Literal["train", "dev", "test", "all"]

SAMPLES = Path(__file__).parent / "samples"
SAMPLE_FRACTIONS = {"train": 0.6, "dev": 0.2, "test": 0.2}
KEPT_OPEN = 16
READ_AT_ONCE = 20_000
"""Rows of a whole file that opening reads: about a second."""


@dataclass(frozen=True, slots=True)
class RowData:
    """A data set: its rows, and where they are if no file is given.

    name: also that of the sample file. hub_test: whether the hub has a split "test" beside
    "train".
    """

    name: str
    convert: Converter
    hub_path: str
    hub_config: str | None = None
    hub_test: bool = False


def check_options(
    kind: type[ReasoningEnv], options: Mapping[str, Any], others: Iterable[str] = ()
) -> None:
    """``UnknownName`` for an option that ``ReasoningEnv`` does not have.

    It is called before problems are loaded, possibly over a network. others: further options that
    the environment has.
    """
    known = set(inspect.signature(ReasoningEnv.__init__).parameters)
    for name in options:
        if name not in known:
            known |= set(inspect.signature(kind.__init__).parameters)
            names = known.union(others) - {"self", "problems", "verifier", "options"}
            raise UnknownName(f"argument of {kind.__name__}", name, names)


def open_problems(
    data: RowData,
    path: str | os.PathLike[str] | None,
    source: Source,
    split: Split,
    on_bad_row: OnBadRow,
) -> RowSource:
    """The problems of one split, from the file at ``path`` or else from ``source``.

    The hash of a problem's id decides its split. Of a file, 90 % are "train" and 5 % each "dev" and
    "test"; of the sample, 20 % each are "dev" and "test". If the hub has a test split, that is
    "test", and its train split gives "train" and "dev". "all" is a whole file, the whole sample,
    or the hub's train split.
    Raises ``UnknownName`` and ``BadOption`` for arguments that cannot work, ``MissingExtra``
    without the extra "data", ``BadOption`` if the hub cannot be reached, and ``BadData`` for a
    file that cannot be read.
    """
    if split not in get_args(Split):
        raise UnknownName("split", str(split), get_args(Split))
    if source not in get_args(Source):
        raise UnknownName("source", str(source), get_args(Source))
    if path is None and source == "hub":
        return _from_hub(data, split, on_bad_row)
    if path is not None and source == "sample":
        raise BadOption(f"give path or source='sample', not both; got path={path!r}")
    if path is not None:
        return open_file(path, data.convert, split, on_bad_row)
    file = SAMPLES / f"{data.name}.jsonl"
    return _from_file(data.convert, file, _state(file), f"{data.name}-sample", split, on_bad_row)


def open_file(
    path: str | os.PathLike[str], convert: Converter, split: Split, on_bad_row: OnBadRow
) -> RowSource:
    """The problems of one split of a file; split and errors as for ``open_problems``.

    Raises ``BadOption`` if the file has no problem in that split.
    """
    if split not in get_args(Split):
        raise UnknownName("split", str(split), get_args(Split))
    file = file_path(path).expanduser()
    state = _state(file)
    problems = _from_file(convert, file, state, None, split, on_bad_row)
    if len(problems):
        return problems
    if file.is_file() and not file.read_bytes().strip():
        raise BadOption(f"{file} is empty; expected a file of JSON lines, one problem in each")
    if problems.report is not None and problems.report.total_dropped:
        raise BadOption(f"{file} has no problem in split {split!r}: {problems.report}")
    sizes = {
        name: len(_from_file(convert, file, state, None, name, on_bad_row))
        for name in get_args(Split)
    }
    others = ", ".join(f"{name!r} ({size})" for name, size in sizes.items() if size)
    raise BadOption(
        f"split must have problems; got {split!r} of {file}, which has none: 5 % of a file are"
        f" 'dev' and 5 % 'test', by the hash of the ids. Fix: a split with problems: {others}; or"
        " another file"
    )


@functools.lru_cache(maxsize=KEPT_OPEN)
def _from_file(
    convert: Converter,
    file: Path,
    state: tuple[int, int],
    sample: str | None,
    split: Split,
    on_bad_row: OnBadRow,
) -> RowSource:
    """state: the file's size and time, so that a changed file is opened again. sample: the name of
    the sample, None for a user's file."""
    lines = file.is_file() and kind_of_file(file) == "JSON lines"
    kind = JsonlSource if lines else TableSource
    problems: RowSource = kind(
        file,
        convert,
        name=sample,
        split=None if split == "all" else split,
        fractions=FRACTIONS if sample is None else SAMPLE_FRACTIONS,
        on_bad_row=on_bad_row,
    )
    if split == "all" and on_bad_row == "raise" and len(problems) <= READ_AT_ONCE:
        problems.know_ids()
    return problems


@functools.lru_cache(maxsize=KEPT_OPEN)
def _from_hub(data: RowData, split: Split, on_bad_row: OnBadRow) -> RowSource:
    official_test = data.hub_test and split == "test"
    try:
        return DatasetSource.from_hub(
            data.hub_path,
            data.convert,
            config=data.hub_config,
            hub_split="test" if official_test else "train",
            split=None if official_test or split == "all" else split,
            fractions={"train": 0.95, "dev": 0.05} if data.hub_test else FRACTIONS,
            on_bad_row=on_bad_row,
        )
    except OSError as error:  # no network, no such data set, a full disk
        raise BadOption(
            f"could not load {data.hub_path!r} from the hub ({type(error).__name__}: {error}). "
            "Give path= to a file of such rows, or source='sample' for the problems that ship; "
            "with a network, the hub's copy is kept for later"
        ) from error


def _state(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError as error:
        raise BadData(f"{file}: {error.strerror}; expected a file of JSON lines") from error
    return status.st_size, status.st_mtime_ns

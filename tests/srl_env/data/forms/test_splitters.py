from __future__ import annotations

import time
from pathlib import Path

import pytest

from srl_env.data.forms.splitters import (
    SPLITTERS,
    calculations,
    get_splitter,
    join_short,
    lines,
    paragraphs,
    sentences,
)
from srl_env.data.rows import BadRow
from srl_env.errors import BadOption, UnknownName
from srl_env.problem import ExpertStep


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We have 3.5 apples. Then 2 more.", ["We have 3.5 apples.", "Then 2 more."]),
        ("See Fig. 3 and e.g. Bob. It is so.", ["See Fig. 3 and e.g. Bob.", "It is so."]),
        ("1. Add them. 2 is left.", ["1. Add them.", "2 is left."]),
        ("It is $x = 1. A$ here. $y$ is not.", ["It is $x = 1. A$ here.", "$y$ is not."]),
        ("It costs $5. It paid $6. Done.", ["It costs $5.", "It paid $6.", "Done."]),
        ("So \\(a. B\\) holds! \\frac12 is it.", ["So \\(a. B\\) holds!", "\\frac12 is it."]),
        ('"Why?" he asked. "Yes." She left.', ['"Why?" he asked.', '"Yes."', "She left."]),
        (
            "a line\ngoes on.\n\nNew one\n- item\n- more",
            ["a line\ngoes on.", "New one", "- item", "- more"],
        ),
        ("答えは3。次へ。", ["答えは3。", "次へ。"]),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_lines_and_paragraphs_do_not_split_formulas_or_code() -> None:
    formula, code = "$$\nx\n\ny\n$$", "```py\n1\n\n2\n```"
    inner = "c \\begin{a}\n\\begin{b}\n\n\\end{b}\n\\end{a} d"
    text = f"a\n{formula}\nb\r\n\r\n{code}\n{inner}"
    assert lines(text) == ["a", formula, "b", code, inner]
    assert paragraphs(text) == [f"a\n{formula}\nb", f"{code}\n{inner}"]


def test_a_block_that_is_never_closed_is_none() -> None:
    assert lines("$$ a\nb\n```\nc") == ["$$ a", "b", "```", "c"]


def test_calculations_are_lines_without_annotations_and_the_answer() -> None:
    assert calculations("4*6 = <<4*6=24>>24\n\n24-1 = 23\n#### 23") == ["4*6 = 24", "24-1 = 23"]


def test_short_steps_are_joined_with_their_neighbours() -> None:
    assert join_short(["So", "4 + 5 = 9 apples", "x", "they are nine", "ok"], 4) == [
        "So\n4 + 5 = 9 apples",
        "x\nthey are nine\nok",
    ]
    titled = ExpertStep("x", title="T")
    assert join_short([titled, "a", titled], 4) == [titled, "a", titled]


def test_a_splitter_is_found_by_its_name_or_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_splitter_module.py").write_text(
        "def halves(text):\n    return text.split('|')\n"
    )
    (tmp_path / "my_broken_module.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    assert get_splitter("lines") is lines
    assert get_splitter("my_splitter_module:halves")("a|b") == ["a", "b"]
    with pytest.raises(UnknownName, match="no splitter 'line'. Did you mean 'lines'"):
        get_splitter("line")
    with pytest.raises(BadOption, match="the module 'my_splitter_module' has no 'thirds'"):
        get_splitter("my_splitter_module:thirds")
    with pytest.raises(BadOption, match="cannot be imported: ZeroDivisionError"):
        get_splitter("my_broken_module:x")


@pytest.mark.parametrize(
    "piece", [".", "\\[", "\\(", "$", "$$", "```\n", "\n", "\\begin{a", '. "(']
)
def test_no_text_takes_a_splitter_long(piece: str) -> None:
    began = time.process_time()
    for name, split in SPLITTERS.items():
        try:
            split(piece * 20_000)
        except BadRow:
            assert name == "numbered"
    assert time.process_time() - began < 3

import pytest

from pagemill.errors import WidthError
from pagemill.wrap import columns, dedent, indent_lines, justify, wrap, wrap_paragraphs


def test_words_fill_lines_up_to_the_width():
    assert wrap("aa bb cc dd", 5) == ["aa bb", "cc dd"]
    assert wrap("aa bb cc dd", 4) == ["aa", "bb", "cc", "dd"]
    assert wrap("aa bb cc dd", 8) == ["aa bb cc", "dd"]


def test_spaces_between_words_do_not_count():
    assert wrap("  aa \n  bb ", 20) == ["aa bb"]
    assert wrap("   ", 20) == []


def test_long_words_are_cut():
    assert wrap("abcdefgh ij", 3) == ["abc", "def", "gh", "ij"]
    assert wrap("a bcdef", 3) == ["a", "bcd", "ef"]
    assert wrap("abc", 3) == ["abc"]


def test_lines_are_indented():
    assert wrap("aa bb cc", 7, indent="- ") == ["- aa bb", "- cc"]
    assert wrap("aa bb cc", 7, indent="- ", hang="  ") == ["- aa bb", "  cc"]
    assert wrap("abcdef", 4, indent="- ", hang="") == ["- ab", "cdef"]


@pytest.mark.parametrize(
    ("width", "indent", "hang"), [(0, "", None), (2, "- ", None), (2, "", "  ")]
)
def test_something_must_fit_into_the_width(width, indent, hang):
    with pytest.raises(WidthError, match=f"{width} columns"):
        wrap("a", width, indent, hang)


def test_paragraphs_are_kept_apart():
    assert wrap_paragraphs("aa bb\ncc\n\n\n dd\n", 5) == "aa bb\ncc\n\ndd"
    assert wrap_paragraphs("\n\n") == ""


@pytest.mark.parametrize(
    ("line", "width", "expected"),
    [
        ("a b c", 5, "a b c"),
        ("a b c", 6, "a  b c"),
        ("a b c", 7, "a  b  c"),
        ("a b c", 8, "a   b  c"),
        ("word", 9, "word"),
        ("too long", 3, "too long"),
    ],
)
def test_a_justified_line_has_wider_spaces(line, width, expected):
    assert justify(line, width) == expected


def test_columns_are_filled_downwards():
    assert columns(["a", "bb", "c", "d", "e"], width=9) == "a   d\nbb  e\nc"
    assert columns(["aaa", "b"], width=3) == "aaa\nb"
    assert columns(["aaa", "bbb"], width=8) == "aaa  bbb"
    assert columns(["aaa", "bbb"], width=7) == "aaa\nbbb"
    assert columns(["aaa", "bbb"], width=7, space=1) == "aaa bbb"
    assert columns([]) == ""


def test_lines_that_are_not_empty_are_indented():
    assert indent_lines("a\n\n b\n", "> ") == "> a\n\n>  b\n"


def test_common_spaces_are_cut():
    assert dedent("  a\n    b\n\n  c") == "a\n  b\n\nc"
    assert dedent(" a\nb") == " a\nb"
    assert dedent("\n   \n") == "\n\n"

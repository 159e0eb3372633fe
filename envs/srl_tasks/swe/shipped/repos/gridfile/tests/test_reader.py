import pytest

from gridfile.errors import CsvError
from gridfile.reader import read_rows, sniff_delimiter, unique_header


def test_rows_and_cells():
    assert read_rows("a,b\nc,d\n") == [["a", "b"], ["c", "d"]]
    assert read_rows("a,b\nc,d") == [["a", "b"], ["c", "d"]]
    assert read_rows("") == []


def test_empty_cells_are_kept_and_empty_lines_are_not():
    assert read_rows("a,,\n\n,b\n  \n") == [["a", "", ""], ["", "b"]]
    assert read_rows('""\n') == [[""]]


def test_spaces_around_a_cell_do_not_count():
    assert read_rows(" a , b c ,\td\n") == [["a", "b c", "d"]]
    assert read_rows('" a " , b') == [[" a ", "b"]]


def test_quoted_cells_may_hold_anything():
    assert read_rows('"a,b","c\nd"\n') == [["a,b", "c\nd"]]
    assert read_rows('"say ""hi""",""""') == [['say "hi"', '"']]
    assert read_rows('"",b') == [["", "b"]]


def test_a_quote_within_a_cell_is_a_character():
    assert read_rows('5" disk,b') == [['5" disk', "b"]]


def test_all_line_ends_are_known():
    assert read_rows("\ufeffa,b\r\nc,d\re,f") == [["a", "b"], ["c", "d"], ["e", "f"]]


def test_a_quote_must_be_closed():
    with pytest.raises(CsvError, match="line 2: a quote that is not closed"):
        read_rows('a,b\n"c,d\n')


def test_nothing_stands_after_a_closing_quote():
    with pytest.raises(CsvError, match="line 1: text after"):
        read_rows('"a"b,c')
    with pytest.raises(CsvError, match="line 4: text after"):
        read_rows('a\n"b\nc",d\n"e" f,g', ",")


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b\nc,d", ","),
        ("a;b;c\n1,5;2;3", ";"),
        ("a\tb\n1\t2", "\t"),
        ("a|b,c|d\n1|2|3,4", "|"),
        ('"a,b";c\n"d";e', ";"),
        ("one column", ","),
        ("", ","),
        ("a,b;c\n\n1,2;3;4", ","),
    ],
)
def test_the_delimiter_is_guessed(text, delimiter):
    assert sniff_delimiter(text) == delimiter


def test_a_given_delimiter_is_used():
    assert read_rows("a;b,c", ",") == [["a;b", "c"]]
    assert read_rows("a;b\nc;d") == [["a", "b"], ["c", "d"]]


def test_names_of_columns_are_unique():
    assert unique_header(["a", " b ", "", "a", "a", ""]) == [
        "a",
        "b",
        "column_3",
        "a_2",
        "a_3",
        "column_6",
    ]
    assert unique_header(["a", "a_2", "a"]) == ["a", "a_2", "a_3"]

import pytest

from pagemill.outline import Entry, Slugs, outline, slugify, table_of_contents


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("Hello World", "hello-world"),
        ("  a -- b  ", "a-b"),
        ("Crème brûlée 2", "creme-brulee-2"),
        ("It's", "it-s"),
        ("?!", "section"),
        ("", "section"),
    ],
)
def test_a_text_as_an_id(text, slug):
    assert slugify(text) == slug


def test_an_id_is_given_once():
    slugs = Slugs()
    assert [slugs.take(text) for text in ("a", "A", "b", "a")] == ["a", "a-2", "b", "a-3"]


def test_a_numbered_id_may_be_taken_already():
    slugs = Slugs()
    assert [slugs.take(text) for text in ("a 2", "a", "a")] == ["a-2", "a", "a-3"]


def test_headings_are_numbered_by_level():
    entries = outline("# A\n## B\n## C\n### D\n# E\n## F")
    assert [(entry.text, entry.number) for entry in entries] == [
        ("A", "1"),
        ("B", "1.1"),
        ("C", "1.2"),
        ("D", "1.2.1"),
        ("E", "2"),
        ("F", "2.1"),
    ]


def test_the_highest_level_counts_as_the_first():
    assert [entry.number for entry in outline("## A\n### B\n## C")] == ["1", "1.1", "2"]
    assert [entry.number for entry in outline("## A\n#### B")] == ["1", "1.0.1"]


def test_an_entry_has_no_marks():
    assert outline("text\n## *A* `b`") == [Entry(2, "A b", "a-b", "1")]
    assert outline("no headings") == []


def test_contents_are_nested_lists():
    assert table_of_contents("# A\n## B\n# C") == (
        '<ul><li><a href="#a">A</a>'
        '<ul><li><a href="#b">B</a></li></ul></li>'
        '<li><a href="#c">C</a></li></ul>'
    )


def test_deep_headings_are_left_out_of_the_contents():
    assert table_of_contents("# A\n#### B") == '<ul><li><a href="#a">A</a></li></ul>'
    assert table_of_contents("# A\n## B", deepest=1) == '<ul><li><a href="#a">A</a></li></ul>'
    assert table_of_contents("### A & b") == '<ul><li><a href="#a-b">A &amp; b</a></li></ul>'


def test_without_headings_there_are_no_contents():
    assert table_of_contents("text") == ""

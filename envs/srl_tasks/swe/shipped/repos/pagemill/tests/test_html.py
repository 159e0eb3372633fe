import pytest

from pagemill.html import excerpt, reading_minutes, render


def test_an_empty_page():
    assert render("") == ""


def test_blocks_follow_one_another():
    assert render("# Soup\n\nEat *hot*.") == '<h1 id="soup">Soup</h1>\n<p>Eat <em>hot</em>.</p>'


def test_equal_headings_have_different_ids():
    assert render("## A\n> ## *A*") == (
        '<h2 id="a">A</h2>\n<blockquote>\n<h2 id="a-2"><em>A</em></h2>\n</blockquote>'
    )


def test_code_is_escaped_and_names_its_language():
    assert render("```py\na < b\n```") == '<pre><code class="language-py">a &lt; b</code></pre>'
    assert render("```\n*a*\n```") == "<pre><code>*a*</code></pre>"


def test_lists_are_nested():
    assert render("- a\n  1. *b*\n- c") == (
        "<ul>\n<li>a\n<ol>\n<li><em>b</em></li>\n</ol>\n</li>\n<li>c</li>\n</ul>"
    )


def test_rules_and_tables():
    assert render("---") == "<hr>"
    assert render("a | b\n--|--").startswith("<table>\n<thead>")


def test_an_excerpt_is_the_first_paragraph():
    assert excerpt("# A\n\n- b\n\n*c* d\ne\n\nf") == "c d e"
    assert excerpt("# A") == ""


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (15, "one, two, three"),
        (14, "one, two…"),
        (9, "one, two…"),
        (8, "one…"),
        (3, "one…"),
        (2, "on…"),
    ],
)
def test_an_excerpt_is_cut_between_words(length, expected):
    assert excerpt("one, two, three", length) == expected


def test_reading_takes_whole_minutes():
    assert reading_minutes("word " * 200) == 1
    assert reading_minutes("word " * 201) == 2
    assert reading_minutes("word") == 1
    assert reading_minutes("") == 0


def test_words_of_all_blocks_but_code_are_read():
    page = "# a b\n\n- c\n  - d e\n\n> f\n\ng | h\n--|--\ni |\n\n```\nj k l\n```\n---"
    assert reading_minutes(page, words_per_minute=1) == 9

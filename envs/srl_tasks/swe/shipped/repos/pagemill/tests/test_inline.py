import pytest

from pagemill.inline import plain_text, render_inline


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "plain"),
        ("*a* b", "<em>a</em> b"),
        ("**a** b", "<strong>a</strong> b"),
        ("`a`", "<code>a</code>"),
        ("*a **b** c*", "<em>a <strong>b</strong> c</em>"),
        ("**a *b* c**", "<strong>a <em>b</em> c</strong>"),
        ("x*y*z", "x<em>y</em>z"),
        ("*a* *b*", "<em>a</em> <em>b</em>"),
    ],
)
def test_marks(text, html):
    assert render_inline(text) == html


@pytest.mark.parametrize(
    "text", ["*a", "a*", "2 * 3 * 4", "**a*b", "* a*", "`a", "**", "``", "[a]"]
)
def test_marks_without_a_partner_stand_for_themselves(text):
    assert render_inline(text) == text


def test_everything_else_is_escaped():
    assert render_inline("a < *b & c*") == "a &lt; <em>b &amp; c</em>"
    assert render_inline("`<b>`") == "<code>&lt;b&gt;</code>"


def test_nothing_is_marked_inside_code():
    assert render_inline("`*a*`") == "<code>*a*</code>"
    assert render_inline("*a `b* c` d*") == "<em>a <code>b* c</code> d</em>"


def test_a_backslash_takes_the_meaning_of_a_mark():
    assert render_inline("\\*a\\*") == "*a*"
    assert render_inline("*a \\* b*") == "<em>a * b</em>"
    assert render_inline("\\a\\") == "\\a\\"
    assert render_inline("\\\\*a*") == "\\<em>a</em>"


def test_links():
    assert render_inline("[a](b.html)") == '<a href="b.html">a</a>'
    assert render_inline("see [*a* b](c) d") == 'see <a href="c"><em>a</em> b</a> d'
    assert render_inline("[a](b?c&d)") == '<a href="b?c&amp;d">a</a>'


def test_only_the_text_of_a_harmful_link_is_kept():
    assert render_inline("[*a*](javascript:b)") == "<em>a</em>"


def test_an_open_link_is_text():
    assert render_inline("[a](b") == "[a](b"
    assert render_inline("[x] [a](b)") == '[x] <a href="b">a</a>'


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("*a* **b** `c`", "a b c"),
        ("[*a* b](c) d", "a b d"),
        ("\\*a\\*", "*a*"),
        ("\\a", "\\a"),
        ("a [b", "a [b"),
    ],
)
def test_plain_text_has_no_marks(text, plain):
    assert plain_text(text) == plain

import pytest

from pagemill.escape import attributes, element, escape, safe_target, strip_tags, unescape


def test_what_means_something_in_html_is_escaped():
    assert escape('a < b & c > "d"') == "a &lt; b &amp; c &gt; &quot;d&quot;"
    assert escape("it's") == "it's"


def test_unescaping_gives_the_text_back():
    text = '&lt; <b> && "x"'
    assert unescape(escape(text)) == text
    assert unescape("&amp;lt;") == "&lt;"


def test_tags_are_stripped():
    assert strip_tags("<p>a <em>b</em></p>\n<hr> c") == "a b c"
    assert strip_tags("1 &lt; 2") == "1 < 2"
    assert strip_tags("no tags") == "no tags"


@pytest.mark.parametrize(
    "target",
    ["http://a.b", "HTTPS://a.b", "mailto:a@b.c", "page.html", "#part", "/a/b", "a b:c", "?x=1:2"],
)
def test_usual_targets_are_safe(target):
    assert safe_target(target) == target


@pytest.mark.parametrize(
    "target",
    ["javascript:alert(1)", "JavaScript:x", " data:text/html,x", "java\nscript:x", "file:x"],
)
def test_other_schemes_are_not(target):
    assert safe_target(target) is None


def test_targets_are_escaped_and_trimmed():
    assert safe_target(' a?b=1&c="2" ') == "a?b=1&amp;c=&quot;2&quot;"


def test_attributes_are_sorted_and_may_be_left_out():
    values = {"title": 'a "b"', "id": "x", "hidden": True, "lang": None, "open": False}
    assert attributes(values) == ' hidden id="x" title="a &quot;b&quot;"'
    assert attributes({}) == ""
    assert attributes({"alt": ""}) == ' alt=""'


def test_an_element_holds_its_content_as_it_is():
    assert element("p", "<b>x</b>") == "<p><b>x</b></p>"
    assert element("p", "x", id="a<b") == '<p id="a&lt;b">x</p>'

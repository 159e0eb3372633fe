import pytest

from pagemill.errors import TemplateError
from pagemill.template import Template, fill, lookup

ORDER = {"order": {"items": ["ink", "pen"], "paid": False}, "name": "ann lee", "none": None}


def test_values_are_inserted():
    assert fill("Dear {{name}}, {{ order.items.1 }}.", ORDER) == "Dear ann lee, pen."
    assert fill("no tags", {}) == "no tags"
    assert fill("{{ none }}|{{ order.paid }}", ORDER) == "|False"


def test_a_missing_value_is_an_error():
    with pytest.raises(TemplateError, match="line 2: no value for 'nam'"):
        fill("a\n{{ nam }}", ORDER)


@pytest.mark.parametrize("path", ["order.items.2", "order.total", "name.first", "order.items.x"])
def test_paths_may_lead_nowhere(path):
    with pytest.raises(LookupError, match=path):
        lookup(path, ORDER)


def test_filters_are_applied_in_turn():
    assert fill("{{ name | title }}", ORDER) == "Ann Lee"
    assert fill("{{ order.items | join | upper }}", ORDER) == "INK, PEN"
    assert fill("{{ order.items | length }}", ORDER) == "2"
    assert fill("{{ a | trim | lower | escape }}", {"a": " <B> "}) == "&lt;b&gt;"


def test_a_default_stands_in_for_what_is_missing_or_empty():
    assert fill("{{ x | default no one }}", {}) == "no one"
    assert fill("{{ x | default - }}", {"x": ""}) == "-"
    assert fill("{{ x | default - }}", {"x": None}) == "-"
    assert fill("{{ x | default - }}", {"x": 0}) == "0"
    assert fill("{{ x | upper | default none }}", {}) == "none"


def test_a_filter_must_fit_its_value():
    with pytest.raises(TemplateError, match="'length' does not go with 3"):
        fill("{{ x | length }}", {"x": 3})


def test_conditions():
    source = "{% if x %}yes{% else %}no{% end %}"
    assert fill(source, {"x": [1]}) == "yes"
    assert fill(source, {"x": []}) == "no"
    assert fill(source, {}) == "no"
    assert fill("{% if x %}yes{% end %}", {}) == ""


def test_negated_conditions():
    source = "{% if not x.y %}none{% else %}some{% end %}"
    assert fill(source, {}) == "none"
    assert fill(source, {"x": {"y": 1}}) == "some"


def test_loops():
    source = "{% for item in order.items %}{{ loop.index }}:{{ item }} {% end %}"
    assert fill(source, ORDER) == "1:ink 2:pen "


def test_a_loop_knows_its_first_and_last_round():
    source = "{% for x in xs %}{% if loop.first %}({% end %}{{ x }}"
    source += "{% if loop.last %}){% else %}, {% end %}{% end %}"
    assert fill(source, {"xs": [1, 2, 3]}) == "(1, 2, 3)"


def test_a_loop_over_nothing_has_another_way():
    source = "{% for x in xs %}{{ x }}{% else %}none{% end %}"
    assert fill(source, {"xs": []}) == "none"
    assert fill(source, {"xs": [1]}) == "1"
    assert fill("{% for x in xs %}{{ x }}{% end %}", {"xs": []}) == ""
    with pytest.raises(TemplateError, match="no value for 'xs'"):
        fill(source, {})


def test_a_loops_variable_is_gone_after_it():
    assert fill("{% for x in xs %}{{ x }}{% end %}{{ x }}", {"xs": [1, 2], "x": 9}) == "129"


def test_loops_may_be_nested():
    source = "{% for row in rows %}{% for x in row %}{{ x }}{% end %};{% end %}"
    assert fill(source, {"rows": [[1, 2], [], [3]]}) == "12;;3;"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% if x %}", "line 1: 'if' is not ended"),
        ("a\n{% for x in xs %}", "line 2: 'for' is not ended"),
        ("{% end %}", "an 'end' too many"),
        ("{% else %}", "an 'else' without"),
        ("{% if x %}{% else %}{% else %}{% end %}", "an 'else' without"),
        ("{% while x %}", "not understood: 'while x'"),
        ("{{ a b }}", "not a name: 'a b'"),
        ("{{ }}", "not a name"),
        ("{{ a | reverse }}", "unknown filter 'reverse'"),
    ],
)
def test_templates_that_cannot_be_read(source, message):
    with pytest.raises(TemplateError, match=message):
        Template(source)


def test_a_template_is_filled_many_times():
    template = Template("{{ x }}!")
    assert [template.fill({"x": n}) for n in (1, 2)] == ["1!", "2!"]


def test_needed_names_are_known():
    source = "{{ a.b }}{% if c %}{{ d }}{% else %}{{ e }}{% end %}"
    source += "{% for x in xs %}{{ x }}{{ loop.index }}{{ y }}{% end %}"
    assert Template(source).names() == ["a", "c", "d", "e", "xs", "y"]
    assert Template("text").names() == []

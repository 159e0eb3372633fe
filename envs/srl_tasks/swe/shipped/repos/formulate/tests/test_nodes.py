from formulate.nodes import (
    Binary,
    Call,
    Conditional,
    Literal,
    Name,
    Unary,
    children,
    depth_of,
    functions_in,
    names_in,
    walk,
)

SUM = Binary("+", Name("b"), Unary("-", Name("a")))
CHOICE = Conditional(Name("b"), Call("max", (Literal(1), SUM)), Call("abs", (Name("c"),)))


def test_a_leaf_has_no_children():
    assert children(Literal(1)) == ()
    assert children(Name("a")) == ()


def test_children_are_listed_left_to_right():
    assert children(SUM) == (Name("b"), Unary("-", Name("a")))
    assert children(Unary("-", Name("a"))) == (Name("a"),)
    assert children(CHOICE)[0] == Name("b")
    assert children(Call("f", (Literal(1), Literal(2)))) == (Literal(1), Literal(2))


def test_a_walk_visits_each_node_before_its_parts():
    assert list(walk(SUM)) == [SUM, Name("b"), Unary("-", Name("a")), Name("a")]


def test_names_are_listed_once_in_order():
    assert names_in(CHOICE) == ["b", "a", "c"]
    assert names_in(Literal(1)) == []


def test_functions_are_listed_sorted():
    assert functions_in(CHOICE) == ["abs", "max"]
    assert functions_in(Call("f", (Call("f", ()),))) == ["f"]


def test_the_longest_way_down_counts():
    assert depth_of(Literal(1)) == 1
    assert depth_of(SUM) == 3
    assert depth_of(CHOICE) == 5
    assert depth_of(Call("f", ())) == 1

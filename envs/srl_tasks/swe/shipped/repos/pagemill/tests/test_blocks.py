from pagemill.blocks import Code, Heading, Item, ItemList, Paragraph, Quote, Rule, read_blocks
from pagemill.tables import Table


def test_a_page_without_text_has_no_blocks():
    assert read_blocks("") == []
    assert read_blocks(" \n\n\t\n") == []


def test_headings_have_levels():
    assert read_blocks("# A\n###### B c ##") == [Heading(1, "A"), Heading(6, "B c")]


def test_a_heading_needs_a_space_and_has_six_levels():
    assert read_blocks("#A") == [Paragraph("#A")]
    assert read_blocks("####### A") == [Paragraph("####### A")]


def test_paragraphs_are_parted_by_empty_lines():
    assert read_blocks("a\n  b\n\n\nc") == [Paragraph("a\nb"), Paragraph("c")]


def test_other_blocks_end_a_paragraph():
    assert read_blocks("a\n# B") == [Paragraph("a"), Heading(1, "B")]
    assert read_blocks("a\n---") == [Paragraph("a"), Rule()]
    assert read_blocks("a\n> b") == [Paragraph("a"), Quote((Paragraph("b"),))]
    assert read_blocks("a\n```\nb\n```") == [Paragraph("a"), Code("b")]
    assert read_blocks("a\n- b") == [Paragraph("a"), ItemList(False, (Item("b"),))]


def test_code_is_taken_as_it_is():
    assert read_blocks("```py\n# a\n\n  b\n```\nc") == [Code("# a\n\n  b", "py"), Paragraph("c")]


def test_open_code_goes_on_to_the_end():
    assert read_blocks("```\na\nb") == [Code("a\nb")]
    assert read_blocks("```") == [Code("")]


def test_rules_have_three_marks_or_more():
    assert read_blocks("---\n\n*****") == [Rule(), Rule()]
    assert read_blocks("--") == [Paragraph("--")]


def test_a_quotation_has_blocks_of_its_own():
    assert read_blocks("> # A\n>b\n>\n> > c\nd") == [
        Quote((Heading(1, "A"), Paragraph("b"), Quote((Paragraph("c"),)))),
        Paragraph("d"),
    ]


def test_lists_have_bullets_or_numbers():
    assert read_blocks("- a\n* b") == [ItemList(False, (Item("a"), Item("b")))]
    assert read_blocks("1. a\n7) b") == [ItemList(True, (Item("a"), Item("b")))]


def test_another_kind_of_mark_begins_another_list():
    assert read_blocks("- a\n1. b") == [
        ItemList(False, (Item("a"),)),
        ItemList(True, (Item("b"),)),
    ]


def test_deeper_items_belong_to_the_item_above():
    inner = ItemList(True, (Item("b"), Item("c")))
    assert read_blocks("- a\n  1. b\n  2. c\n- d") == [
        ItemList(False, (Item("a", inner), Item("d")))
    ]


def test_two_levels_may_end_at_once():
    deepest = ItemList(False, (Item("c"),))
    inner = ItemList(False, (Item("b", deepest),))
    assert read_blocks("- a\n  - b\n    - c\n- d") == [
        ItemList(False, (Item("a", inner), Item("d")))
    ]


def test_one_space_is_no_level():
    assert read_blocks("- a\n - b") == [ItemList(False, (Item("a"), Item("b")))]


def test_tabs_are_four_spaces():
    assert read_blocks("- a\n\t- b") == [
        ItemList(False, (Item("a", ItemList(False, (Item("b"),))),))
    ]


def test_a_table_needs_a_divider():
    assert read_blocks("a | b\n--- | ---\n1 | 2") == [Table(("a", "b"), ("", ""), (("1", "2"),))]
    assert read_blocks("a | b\n1 | 2") == [Paragraph("a | b\n1 | 2")]
    assert read_blocks("a | b") == [Paragraph("a | b")]

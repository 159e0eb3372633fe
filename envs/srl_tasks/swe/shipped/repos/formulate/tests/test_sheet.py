import pytest

from formulate.errors import CycleError, EvaluationError, SyntaxFault, UnknownName
from formulate.sheet import Sheet


def make_sheet():
    made = Sheet({"rate": 20})
    made.set("total", "net + tax")
    made.set("tax", "net * rate / 100")
    made.set("net", "50 * 2")
    return made


def test_a_cell_uses_other_cells_and_inputs():
    sheet = make_sheet()
    assert sheet.value("total") == 120
    assert sheet.value("rate") == 20


def test_a_changed_cell_changes_those_that_need_it():
    sheet = make_sheet()
    sheet.value("total")
    sheet.set("net", "200")
    assert sheet.value("total") == 240


def test_a_changed_input_changes_those_that_need_it():
    sheet = make_sheet()
    sheet.value("total")
    sheet.set_input("rate", 50)
    assert sheet.value("total") == 150


def test_values_are_worked_out_once():
    sheet = make_sheet()
    sheet.value("total")
    assert sheet.evaluations == 3
    sheet.value("total")
    sheet.value("tax")
    assert sheet.evaluations == 3


def test_only_stale_values_are_worked_out_again():
    sheet = make_sheet()
    sheet.value("total")
    sheet.set_input("rate", 10)
    sheet.value("total")
    assert sheet.evaluations == 5


def test_a_cell_stands_before_an_input_of_its_name():
    sheet = make_sheet()
    sheet.set("rate", "10")
    assert sheet.value("tax") == 10


def test_unknown_cells():
    sheet = make_sheet()
    with pytest.raises(UnknownName, match="unknown cell 'x'"):
        sheet.value("x")
    sheet.set("bad", "x + 1")
    with pytest.raises(UnknownName, match="'x'"):
        sheet.value("bad")


def test_a_removed_cell_is_gone():
    sheet = make_sheet()
    sheet.value("total")
    sheet.remove("tax")
    with pytest.raises(UnknownName, match="'tax'"):
        sheet.value("total")
    with pytest.raises(UnknownName, match="'tax'"):
        sheet.remove("tax")


def test_all_values_with_none_for_failures():
    sheet = make_sheet()
    sheet.set("broken", "net / 0")
    assert sheet.values() == {"total": 120, "tax": 20, "net": 100, "broken": None}
    with pytest.raises(EvaluationError):
        sheet.value("broken")


def test_the_text_of_a_cell():
    sheet = make_sheet()
    assert sheet.text("tax") == "net * rate / 100"
    with pytest.raises(UnknownName):
        sheet.text("rate")


def test_dependents_are_direct_and_indirect():
    sheet = make_sheet()
    assert sheet.dependents("net") == ["tax", "total"]
    assert sheet.dependents("rate") == ["tax", "total"]
    assert sheet.dependents("total") == []


def test_cells_come_after_those_they_need():
    sheet = make_sheet()
    assert sheet.order() == ["net", "tax", "total"]


def test_a_cycle_is_refused_and_changes_nothing():
    sheet = make_sheet()
    with pytest.raises(CycleError, match="a cycle: net -> total -> net") as caught:
        sheet.set("net", "total")
    assert caught.value.path == ["net", "total", "net"]
    assert sheet.value("net") == 100


def test_a_cell_cannot_need_itself():
    sheet = make_sheet()
    with pytest.raises(CycleError):
        sheet.set("new", "new + 1")
    assert "new" not in sheet.values()


def test_a_formula_must_be_one():
    sheet = make_sheet()
    with pytest.raises(SyntaxFault):
        sheet.set("net", "1 +")
    assert sheet.value("net") == 100

from datetime import date

from roomdiary.clock import parse_span
from roomdiary.diary import Diary, Room
from roomdiary.interval import Interval
from roomdiary.opening import OpeningHours
from roomdiary.search import common_slot, fitting_rooms, free_slots, next_common_slot

FRIDAY, SATURDAY, MONDAY = date(2024, 5, 3), date(2024, 5, 4), date(2024, 5, 6)


def make_diary():
    made = Diary(OpeningHours.weekdays("9:00-12:00", "13:00-17:00"))
    made.add_room(Room("Oak", 12, setup_minutes=15, features=frozenset({"screen", "phone"})))
    made.add_room(Room("Elm", 6, features=frozenset({"screen"})))
    made.add_room(Room("Ash", 4))
    made.book("Elm", FRIDAY, parse_span("10:00-11:30"), "one")
    made.book("Oak", FRIDAY, parse_span("13:30-14:00"), "two")
    return made


def names(rooms):
    return [room.name for room in rooms]


def test_free_slots_are_open_and_not_taken():
    diary = make_diary()
    assert free_slots(diary, "Elm", FRIDAY) == [
        Interval(540, 600),
        Interval(690, 720),
        Interval(780, 1020),
    ]
    assert free_slots(diary, "Elm", SATURDAY) == []


def test_short_slots_are_left_out():
    diary = make_diary()
    assert free_slots(diary, "Elm", FRIDAY, minutes=60) == [Interval(540, 600), Interval(780, 1020)]
    assert free_slots(diary, "Elm", FRIDAY, minutes=61) == [Interval(780, 1020)]


def test_time_for_setting_up_is_not_free():
    diary = make_diary()
    assert free_slots(diary, "Oak", FRIDAY)[1:] == [Interval(780, 795), Interval(855, 1020)]


def test_fitting_rooms_are_free():
    diary = make_diary()
    assert names(fitting_rooms(diary, FRIDAY, parse_span("10-11"))) == ["Ash", "Oak"]
    assert names(fitting_rooms(diary, FRIDAY, parse_span("14-15"))) == ["Ash", "Elm"]


def test_fitting_rooms_have_the_seats():
    diary = make_diary()
    assert names(fitting_rooms(diary, FRIDAY, parse_span("9-10"), people=6)) == ["Elm", "Oak"]
    assert names(fitting_rooms(diary, FRIDAY, parse_span("9-10"), people=7)) == ["Oak"]


def test_fitting_rooms_have_the_features():
    diary = make_diary()
    span = parse_span("9-10")
    assert names(fitting_rooms(diary, FRIDAY, span, features=["screen"])) == ["Elm", "Oak"]
    assert names(fitting_rooms(diary, FRIDAY, span, features=["screen", "phone"])) == ["Oak"]


def test_no_room_fits_when_closed():
    diary = make_diary()
    assert fitting_rooms(diary, SATURDAY, parse_span("9-10")) == []
    assert fitting_rooms(diary, FRIDAY, parse_span("11:30-13:30")) == []


def test_the_first_common_slot():
    diary = make_diary()
    assert common_slot(diary, ["Elm", "Oak"], FRIDAY, 60) == Interval(540, 600)
    assert common_slot(diary, ["Elm", "Oak"], FRIDAY, 90) == Interval(855, 945)
    assert common_slot(diary, ["Ash"], FRIDAY, 90) == Interval(540, 630)
    assert common_slot(diary, [], FRIDAY, 240) == Interval(780, 1020)


def test_a_slot_starts_on_the_grid():
    diary = make_diary()
    assert common_slot(diary, ["Elm", "Oak"], FRIDAY, 90, grid=60) == Interval(900, 990)
    assert common_slot(diary, ["Elm", "Oak"], FRIDAY, 150, grid=60) is None


def test_there_may_be_no_common_slot():
    diary = make_diary()
    assert common_slot(diary, ["Elm"], FRIDAY, 241) is None
    assert common_slot(diary, ["Elm"], SATURDAY, 15) is None


def test_the_next_common_slot_may_be_on_another_day():
    diary = make_diary()
    assert next_common_slot(diary, ["Elm", "Oak"], FRIDAY, 60) == (FRIDAY, Interval(540, 600))
    assert next_common_slot(diary, ["Elm", "Oak"], FRIDAY, 180) == (MONDAY, Interval(540, 720))
    assert next_common_slot(diary, ["Elm", "Oak"], FRIDAY, 180, days=3) is None
    assert next_common_slot(diary, ["Elm"], FRIDAY, 500) is None

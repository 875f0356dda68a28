"""Every version that was handed in is kept, and the right one counts."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from labs_utils.classroom.course import Course, Late, Student
from labs_utils.classroom.submissions import (
    all_of,
    counting,
    days_late,
    factor,
    hints_of,
    keep,
    problems,
    save_problems,
)
from labs_utils.errors import WorkbookError

DEADLINE = datetime(2026, 11, 30, 12, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@pytest.fixture
def course(tmp_path):
    students = {id: Student(id, f"Student {id}", "") for id in ("s01", "s02", "学生-03")}
    return Course(tmp_path / "class", "A class", {"4.1": 1.0, "5.1": 2.0}, {"04": DEADLINE}, Late(0.3, 3), students)


def hand_in(course, content: str, after: timedelta = -DAY, student="s01", chapter="04"):
    return keep(course, student, chapter, content.encode(), DEADLINE + after, "file", f"{content}.ipynb")


def test_what_is_kept_is_read_back(course):
    moment = datetime(2026, 11, 30, 20, 15, 7, 250_000, tzinfo=timezone(timedelta(hours=8)))
    one = keep(course, "学生-03", "04", b"{}", moment, "hub", "04_tokenizers.ipynb", {"4.1": 2})
    assert one.handed_in == datetime(2026, 11, 30, 12, 15, 7, 250_000, tzinfo=UTC)
    assert one.file == course.folder / "submissions/学生-03/04/20261130T121507Z-44136fa3.ipynb"
    assert one.file.read_bytes() == b"{}"
    assert json.loads(one.receipt.read_text()) == {
        "student": "学生-03",
        "chapter": "04",
        "handed_in": "2026-11-30T12:15:07.250000Z",
        "sha256": one.sha256,
        "source": "hub",
        "original": "04_tokenizers.ipynb",
        "hints": {"4.1": 2},
    }
    assert all_of(course) == [one] and hints_of(one) == {"4.1": 2}
    assert hints_of(hand_in(course, "a")) == {}


def test_only_the_owner_can_read_it(course):
    hand_in(course, "a")
    for path in [course.folder, *course.folder.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_handing_in_twice_keeps_both_and_the_last_counts_whatever_the_order_of_collecting(course):
    late, early = hand_in(course, "b", -SECOND), hand_in(course, "a", -DAY)
    assert all_of(course) == [early, late]
    assert counting(course) == {("s01", "04"): late}


def test_the_same_bytes_twice_are_one_at_the_earlier_time(course):
    first = hand_in(course, "a", -DAY)
    assert hand_in(course, "a", -DAY) == hand_in(course, "a", DAY) == first
    earlier = hand_in(course, "a", -2 * DAY)
    assert all_of(course) == [earlier] and earlier.handed_in == DEADLINE - 2 * DAY
    assert len(list(course.folder.rglob("*.*"))) == 2


def test_going_back_to_an_earlier_version_counts(course):
    hand_in(course, "a", -3 * DAY), hand_in(course, "b", -2 * DAY)
    again = hand_in(course, "a", -DAY)
    assert len(all_of(course)) == 3 and counting(course)["s01", "04"] == again


@pytest.mark.parametrize(
    ("times", "counts"),
    [
        ((-2 * DAY, -DAY), 1),
        ((-DAY, SECOND * 0.9), 1),  # in the second of the deadline is in time
        ((-SECOND, -SECOND * 0.9), 1),  # twice within a second
        ((-SECOND * 0.9, -SECOND), 0),
        ((-DAY, SECOND), 0),  # a late one doesn't take away what came in time
        ((SECOND, DAY), 1),  # all late: the last that may still count
        ((SECOND, 2 * DAY, 3 * DAY + SECOND), 1),
        ((3 * DAY + SECOND, 9 * DAY), 1),  # none may count: the last
    ],
)
def test_which_version_counts(course, times, counts):
    versions = [hand_in(course, f"version {place}", after) for place, after in enumerate(times)]
    assert counting(course) == {("s01", "04"): versions[counts]}


@pytest.mark.parametrize(
    ("after", "days", "share"),
    [
        (-DAY, 0, 1.0),
        (timedelta(0), 0, 1.0),
        (SECOND, 1, 0.7),
        (DAY, 1, 0.7),
        (DAY + SECOND, 2, 0.4),
        (3 * DAY, 3, 0.1),
        (3 * DAY + SECOND, 4, 0.0),
    ],
)
def test_each_day_that_has_begun_costs_its_share(course, after, days, share):
    one = hand_in(course, "a", after)
    assert (days_late(course, one), factor(course, one)) == (days, share)


def test_a_share_never_falls_below_nothing_and_no_deadline_costs_nothing(course):
    course = replace(course, late=Late(0.5, 9))
    assert factor(course, hand_in(course, "a", 5 * DAY)) == 0.0
    assert factor(course, hand_in(course, "a", 99 * DAY, chapter="05")) == 1.0


def test_who_left_the_roster_stays_in_the_store_and_does_not_count(course):
    one = hand_in(course, "a")
    del course.students["s01"]
    assert all_of(course) == [one] and counting(course) == {}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"student": "../s01"}, "not on the roster"),
        ({"chapter": "06"}, "not in"),
        ({"handed_in": datetime(2026, 11, 30)}, "needs its time zone"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_writes_nothing(course, given, sentence):
    right = {"student": "s01", "chapter": "04", "handed_in": DEADLINE}
    with pytest.raises(WorkbookError, match=sentence):
        keep(course, content=b"{}", source="file", original="a.ipynb", **(right | given))
    assert not course.folder.exists()


def test_a_notebook_without_a_receipt_is_an_interrupted_copy(course):
    one = hand_in(course, "a")
    one.receipt.unlink()
    assert all_of(course) == []
    assert hand_in(course, "a") == one and all_of(course) == [one]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"student": "s01"}', '{"handed_in": 3}'])
def test_a_damaged_receipt_is_named(course, content):
    one = hand_in(course, "a")
    one.receipt.write_text(content)
    with pytest.raises(WorkbookError, match=f"{one.receipt.name} is no receipt"):
        all_of(course)


FOREVER = """
import itertools, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from labs_utils.classroom.course import Course, Late, Student
from labs_utils.classroom.submissions import keep
course = Course(Path(sys.argv[1]), "", {"4.1": 1.0}, {}, Late(0, 0), {"s01": Student("s01", "One", "")})
for second in itertools.count():
    keep(course, "s01", "04", b"%d" % second, datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second), "file", "a")
"""


def test_a_kill_at_any_moment_leaves_whole_submissions(course):
    for count in range(1, 4):
        process = subprocess.Popen([sys.executable, "-c", FOREVER, str(course.folder)])
        deadline = time.monotonic() + 60
        while len(list(course.folder.rglob("[!.]*.json"))) < 5 * count and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        versions = all_of(course)
        assert len(versions) >= 5 * count
        assert [one.file.read_bytes() for one in versions] == [b"%d" % place for place in range(len(versions))]


def test_problems_are_kept_and_a_damaged_list_says_so(course):
    assert problems(course) == []
    told = [{"original": "a.ipynb", "sentence": "It is none.", "time": "2026-11-30T12:00:00Z"}]
    save_problems(course, told)
    assert problems(course) == told
    (course.folder / "problems.json").write_text("{")
    with pytest.raises(WorkbookError, match="Delete it"):
        problems(course)

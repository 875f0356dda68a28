"""The pages of a class: what they say, that nothing is silent in them, and that nothing a student wrote runs there."""

import dataclasses
import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from benchmarks.support.browser import CHROMIUM, MISSING, browser, offline_page
from labs_utils.classroom import course as classes
from labs_utils.classroom import submissions, write_private
from labs_utils.classroom.reporting import findings, likeness, marks, reports
from labs_utils.errors import WorkbookError
from labs_utils.exercises.verdicts import FAILED, PASSED
from tests.classroom.graded import NOON, a_class, hand_in

STUDENTS = {"s01": "Student One", "s02": "学生二", "s03": "Élève Trois", "s04": "طالب أربعة", "s05": "Student Five"}
NESTED = "Perhaps a symbol went into two merges: after a merge, go on behind the pair."
EVIL = "</pre></style><script>alert(1)</script><img src=http://x.example/a.png onerror=alert(2)>"
LONG = """
def merge_pair(word, pair):
    merged, place = [], 0
    while place < len(word):
        if tuple(word[place : place + 2]) == pair:
            merged.append("".join(pair))
            place += 2
        else:
            merged.append(word[place])
            place += 1
    return merged
"""
RENAMED = '''
# mine, all of it
def merge_pair(symbols: list, wanted: tuple) -> list:
    """Merge."""
    out, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i:i+2]) == wanted:
            out.append(''.join(wanted)); i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out
'''


@pytest.fixture
def course(tmp_path):
    """Five students and chapter 04, which is due at noon."""
    made = a_class(tmp_path / "class", STUDENTS, ["04"])
    return dataclasses.replace(made, deadlines={"04": NOON})


class Text(HTMLParser):
    """A page's text, and its tags."""

    def __init__(self, page: str):
        super().__init__()
        self.pieces, self.tags, self.is_style = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.is_style = tag == "style"

    def handle_endtag(self, tag):
        self.is_style = False

    def handle_data(self, data):
        if not self.is_style:
            self.pieces.append(data)


def text(page: str) -> str:
    return " ".join("".join(Text(page).pieces).split())


def built(course) -> str:
    return text(reports.build(course).read_text(encoding="utf-8"))


def page_of(course, student: str) -> str:
    reports.build(course)
    return text((course.folder / "reports" / "students" / f"{student}.html").read_text(encoding="utf-8"))


def section(page: str, start: str, end: str) -> str:
    return page.partition(start)[2].partition(end)[0]


# --- a student's page -------------------------------------------------------------------------------------------------


def test_a_page_says_what_passed_and_what_the_check_said(course):
    told = "Given word=['a', 'a'], your result ['aa'] is not the merge."
    answers = {"4.1": {"status": PASSED}, "4.2": {"status": FAILED, "message": told, "source": LONG}}
    hand_in(course, "s01", "04", answers, NOON, hints={"4.2": 2}, notes=["The given cell c04-012 had been changed."])
    page = page_of(course, "s01")
    assert "4.1 Count the pairs ✓ passed 1 of 1 point" in page
    assert (
        f"4.2 Merge the most frequent pair ✗ not yet 0 of 2 points {told} Hints you opened, as you shared it: 2."
        in page
    )
    assert "while place < len(word):" in page and "The given cell c04-012 had been changed." in page
    assert "4.3 Encode a new word ○ not attempted 0 of 3 points" in page
    assert page.count("Hints you opened") == 1


def test_late_points_are_fewer_and_the_page_says_why(course):
    hand_in(course, "s01", "04", {"4.1": {"status": PASSED}}, NOON + timedelta(hours=30))
    hand_in(course, "s02", "04", {"4.1": {"status": PASSED}}, NOON + timedelta(days=20))
    page = page_of(course, "s01")
    assert "0.8 of 1 point, because it was late" in page and "each exercise gives 80% of its points" in page
    assert "0.8 of 14 points" in page
    late = page_of(course, "s02")
    assert "too late to count" in late and "0 of 14 points" in late
    needs = section(built(course), "Handed in late", "Marks")
    assert "2 days, the last one begun, after the deadline: each exercise gives 80% of its points: Student One" in needs


def test_a_pass_in_another_version_is_shown_with_its_code_and_gives_no_points(course):
    hand_in(course, "s01", "04", {"4.1": {"status": PASSED, "source": "earlier = 1"}}, NOON - timedelta(hours=3))
    hand_in(course, "s01", "04", {"4.1": {"status": FAILED, "message": "No."}, "4.2": {"status": PASSED}}, NOON)
    page = page_of(course, "s01")
    assert "Another version that you handed in (2026-11-30 09:00 UTC) passes this exercise" in page
    assert "earlier = 1" in page and "2 of 14 points" in page
    assert "4.1 Count the pairs: Student One" in section(built(course), "Another version passes", "Marks")


def test_a_regrade_says_what_it_was_before(course):
    hand_in(course, "s01", "04", {"4.1": {"status": PASSED}}, before={"4.1": FAILED, "4.2": "not attempted"})
    assert page_of(course, "s01").count("It was graded again: before, this was “not yet”.") == 1
    changed = built(course).rpartition("What regrading changed")[2]
    assert "not yet → passed 4.1 Count the pairs: Student One" in changed and "4.2" not in changed


def test_the_teachers_comment_is_markdown_and_its_html_is_text(course):
    write_private(
        course.folder / "comments" / "s02.md",
        "Well **done** <b>x</b> ![plot](http://x.example/p.png)" + " more" * 9_000 + " end",
    )
    page = (reports.build(course).parent / "students" / "s02.html").read_text(encoding="utf-8")
    assert "<strong>done</strong> &lt;b&gt;x&lt;/b&gt;" in page and "<img" not in page
    assert "more end" in page  # what a teacher wrote is never cut
    assert "Your teacher writes" not in page_of(course, "s01")
    write_private(course.folder / "comments" / "nobody.md", "?")
    assert "comments/nobody.md" in section(built(course), "Comments for nobody", "Marks")


def test_a_comment_that_is_no_utf8_is_refused_before_anything_is_written(course):
    write_private(course.folder / "comments" / "s02.md", "geprüft".encode("cp1252"))
    with pytest.raises(WorkbookError, match=r"s02\.md is no UTF-8 text.*save it as UTF-8"):
        reports.build(course)
    assert not (course.folder / "reports").exists()


def test_a_page_holds_nothing_of_another_student(course):
    for student in STUDENTS:
        answers = {
            "4.2": {"status": FAILED, "message": f"told {student}", "mistake": NESTED, "source": f"{LONG}\n{student}"}
        }
        hand_in(course, student, "04", answers)
        write_private(course.folder / "comments" / f"{student}.md", f"comment for {student}")
    for student in STUDENTS:
        page = page_of(course, student)
        for other in STUDENTS.keys() - {student}:
            assert other not in page and STUDENTS[other] not in page, f"{student}'s page names {other}"


def test_files_are_the_teachers_alone(course):
    index = reports.build(course)
    files = [index, *(index.parent / "students").iterdir()]
    assert len(files) == 6
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (index.parent, index.parent / "students")} == {0o700}


# --- nothing is silent ------------------------------------------------------------------------------------------------


def test_what_needs_the_teacher_is_listed_with_what_to_do(course):
    stopped = "Your code ran longer than 60 seconds, and was stopped."
    hand_in(course, "s01", "04", {"4.1": {"status": "not judged", "message": stopped}})
    hand_in(course, "s02", "04", None)
    submissions.save_problems(
        course, [{"original": "x.ipynb", "sentence": "It is no notebook. Ask again.", "time": ""}]
    )
    needs = section(built(course), "What needs you Files", "Marks")
    assert (
        "that could not be kept Each sentence says what to do; then collect again. x.ipynb: It is no notebook." in needs
    )
    assert "not graded yet Run labs class grade class, then build this report again. 04 Tokenizers: 学生二" in needs
    assert f"{stopped} 4.1 Count the pairs: Student One" in needs
    assert "(was due 2026-11-30 12:00 UTC): Élève Trois, طالب أربعة, Student Five" in needs
    assert "It has not been graded yet." in page_of(course, "s02")
    assert "Nothing was handed in for this chapter. The deadline: 2026-11-30 12:00 UTC." in page_of(course, "s03")
    assert "Not judged says nothing about your answer" in page_of(course, "s01")


def test_a_result_of_other_bytes_or_without_an_exercise_is_no_mark(course):
    kept = hand_in(course, "s01", "04", {"4.1": {"status": PASSED}})
    path = course.folder / "results" / "s01" / f"04-{kept.sha256[:8]}.json"
    whole = path.read_text()
    path.write_text(whole.replace(kept.sha256, "0" * 64))
    assert marks.read(course)["s01", "04"].state == "not graded yet"
    path.write_text(whole.replace('"passed"', '"full marks"'))
    mark = marks.read(course)["s01", "04"].marks["4.1"]
    assert (mark.status, mark.points) == ("not judged", 0.0) and "Grade it again" in mark.message


def test_somebody_who_left_the_roster_is_named(course):
    hand_in(course, "s05", "04", {})
    path = course.folder / "roster.csv"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "s05" not in line))
    assert "Not on the roster" in built(classes.read(course.folder))


# --- what the class did not understand --------------------------------------------------------------------------------


def test_misconceptions_count_students_and_come_most_frequent_first(course):
    one, two = "Perhaps you missed the last pair of a word.", NESTED
    for student, mistake in {"s01": two, "s02": two, "s03": two, "s04": one}.items():
        number = "4.1" if mistake == one else "4.2"
        hand_in(
            course, student, "04", {number: {"status": FAILED, "message": f"Given 1. {mistake}", "mistake": mistake}}
        )
    found = findings.misconceptions(marks.read(course))
    assert [(each.exercise, each.text, each.students) for each in found] == [
        ("4.2", two, ["s01", "s02", "s03"]),
        ("4.1", one, ["s04"]),
    ]
    assert findings.messages(marks.read(course)) == []  # each answer is counted once
    page = section(built(course), "What was not understood Mistakes", "The hardest exercises")
    assert f"3 of 3 {two} 4.2 Merge the most frequent pair · Student One, 学生二, Élève Trois" in page
    assert f"1 mistake of one student each Students What they were told 1 of 1 {one}" in page


def test_messages_that_differ_in_values_only_are_one(course):
    for student, got in {"s01": "['h', 'ug']", "s02": "[1.5, (2, 'x')]", "s03": "'hug'"}.items():
        told = f"Given word='hugs', your result {got} is not BERT's."
        hand_in(course, student, "04", {"4.2": {"status": FAILED, "message": told}})
    hand_in(course, "s04", "04", {"4.2": {"status": FAILED, "message": "Your function raised ValueError: no."}})
    found = findings.messages(marks.read(course))
    assert [(each.text, each.students) for each in found] == [("your result … is not BERT's.", ["s01", "s02", "s03"])]


def test_the_hardest_are_ordered_by_the_share_of_those_who_tried(course):
    for number, student in enumerate(STUDENTS):
        status = {"4.1": number < 4, "4.2": number < 1, "4.3": True}
        answers = {exercise: {"status": PASSED if passes else FAILED} for exercise, passes in status.items()}
        hand_in(course, student, "04", answers | ({"4.1": {}} if number == 0 else {}))
    found = findings.hardest(marks.read(course))
    assert [(each.exercise, each.passed, each.tried, each.untried) for each in found] == [
        ("4.2", 1, 5, 0),
        ("4.1", 3, 4, 1),
    ]


# --- equal code -------------------------------------------------------------------------------------------------------


def test_names_comments_docstrings_types_and_layout_do_not_make_code_another():
    assert likeness.shape(LONG) == likeness.shape(RENAMED) != ""
    assert likeness.shape(LONG.replace("place += 2", "place += 1")) != likeness.shape(LONG)
    assert likeness.shape(LONG.replace("len(word)", "sum(word)")) != likeness.shape(LONG)
    assert likeness.shape(LONG.replace("merged.append(word[place])", "word.append(merged[place])")) != likeness.shape(
        LONG
    )
    swapped = LONG.replace("tuple(word[place : place + 2]) == pair", "pair == tuple(word[place : place + 2])")
    assert likeness.shape(swapped) != likeness.shape(LONG)


@pytest.mark.parametrize(
    "source", ["def f(x):", "x = 1\0", "-" * 19_000 + "1", "(" * 9_000, "a" + ".b" * 9_000, "x" * 30_000]
)
def test_code_that_cannot_be_read_is_compared_with_nothing(source):
    assert likeness.shape(source) == ""


def test_equal_code_is_a_question_with_both_texts(course):
    other = LONG.replace("place + 2", "2 + place")
    sources = {
        "s01": LONG,
        "s02": RENAMED,
        "s03": other,
        "s04": "def merge_pair(word, pair):\n    return word",
        "s05": "",
    }
    for student, source in sources.items():
        hand_in(course, student, "04", {"4.2": {"status": PASSED, "source": source}})
    page = built(course)
    assert "Student One, 学生二: this answer is equal in 4.2. Did they work together?" in page
    shown = section(page, "Did they work together?", "What regrading")
    assert "while place < len(word)" in shown and "while i < len(symbols)" in shown and "Élève" not in shown


def test_those_who_share_the_most_come_first_and_the_usual_way_is_said_to_be_it(course):
    for student in STUDENTS:
        answers = {"4.2": {"status": PASSED, "source": LONG}}
        if student in ("s03", "s04"):
            twice = LONG.replace('"".join(pair)', "pair[0]")
            answers |= {number: {"status": FAILED, "source": twice} for number in ("4.3", "4.4")}
        hand_in(course, student, "04", answers)
    found = findings.equal_code(marks.read(course))
    assert [(each.students, list(each.sources)) for each in found] == [
        (("s03", "s04"), ["4.3", "4.4"]),
        (tuple(STUDENTS), ["4.2"]),
    ]
    assert "equal in 4.2. So many wrote it that it may be the usual way." in built(course)


def test_the_courses_own_solution_is_told_apart(course):
    solution = likeness.shipped("4.2")["solutions"]
    for student in ("s01", "s02"):
        hand_in(course, student, "04", {"4.2": {"status": PASSED, "source": solution.replace("merged", student)}})
    page = built(course)
    assert "Did they work together" not in page
    assert "Ask how they came to it. Student One: 4.2 学生二: 4.2" in page


# --- hostile text -----------------------------------------------------------------------------------------------------


def hostile(folder):
    """A class of five with names, messages, notes, sources and comments that mean no good."""
    names = {
        "s01": EVIL,
        "s02": '=HYPERLINK("http://x.example")',
        "s03": "long " * 60,
        "s04": "טקסט 🙂",
        "s05": "{{ 7 * 7 }}",
    }
    made = a_class(folder, names, ["04", "05"])
    bad = {"status": FAILED, "message": EVIL + "\ud800\u202e\x00" + "y" * 30_000, "mistake": EVIL, "source": EVIL * 300}
    for student in names:
        hand_in(made, student, "04", {"4.1": dict(bad), "4.2": dict(bad)}, notes=[EVIL, 7, None], before={"4.1": EVIL})
    write_private(made.folder / "comments" / "s01.md", f"{EVIL} [x](javascript:alert(3))")
    submissions.save_problems(
        made, [{"original": EVIL, "sentence": "\ud83d".encode("utf-8", "replace").decode(), "time": ""}]
    )
    return made


def test_what_students_wrote_is_text(tmp_path):
    made = hostile(tmp_path / "class")
    index = reports.build(made)
    allowed = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "h1",
        "h2",
        "h3",
        "p",
        "a",
        "bdi",
        "b",
        "br",
        "ul",
    }
    allowed |= {
        "li",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "div",
        "span",
        "small",
        "pre",
        "nav",
        "details",
        "summary",
    }
    for path in (index, *index.parent.glob("students/*.html")):
        page = path.read_text(encoding="utf-8")
        tags = Text(page).tags
        assert {tag for tag, _ in tags} <= allowed, path.name
        assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
        links = [attributes.get("href", "") for tag, attributes in tags if tag == "a"]
        assert not [link for link in links if not re.match(r"(#|students/)", link) and "harmful" not in link]
        assert "content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\"" in page
        assert len(page) < 200_000
    assert "{{ 7 * 7 }}" in index.read_text(encoding="utf-8")
    assert "⟨U+D800⟩⟨U+202E⟩⟨U+0000⟩" in (index.parent / "students" / "s02.html").read_text(encoding="utf-8")


def test_points_are_rounded_only_when_shown(course):
    odd = dataclasses.replace(course, points=dict.fromkeys(course.points, 1 / 3))
    hand_in(odd, "s01", "04", {number: {"status": PASSED} for number in odd.points})
    assert "2.33 of 2.33 points" in page_of(odd, "s01")  # seven times 0.33 would be 2.31


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def axe():
    from book import execution
    from book.site import vendored
    from tests.pages.test_site import AXE as PACKAGE

    return vendored(execution.BUILD / "vendor", *PACKAGE)


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_work_at_every_width_ask_for_nothing_and_pass_axe(tmp_path, axe, scheme):
    index = reports.build(hostile(tmp_path / "class"))
    with browser() as running, offline_page(running) as (page, watch):
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.emulate_media(color_scheme=scheme)
        for path in (index, index.parent / "students" / "s01.html"):
            asked.clear()
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})  # a busy machine makes no page slow
            page.goto(path.as_uri())
            spent = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
            assert spent["TaskDuration"] < 1, f"{path.name} took more than a second of one core"
            for width in (1280, 390):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path.name} at {width}"
            assert asked == [path.as_uri()] and watch.outside == []
            assert page.evaluate("document.scripts.length") == 0
            if axe is not None:  # where npm can't fetch it, the rest still holds
                page.evaluate(axe.read_text(encoding="utf-8"))
                found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
                assert [(one["id"], one["nodes"][0]["html"][:120]) for one in found] == []


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_names_lead_to_pages_by_keyboard_and_the_header_stays(tmp_path):
    made = a_class(tmp_path / "class", {f"学生-{n:02}": f"Student {n}" for n in range(40)}, ["04"])
    hand_in(made, "学生-39", "04", {})
    index = reports.build(made)
    with browser() as running, offline_page(running, 1280, 600) as (page, _):
        page.goto(index.as_uri())
        last = page.get_by_role("link", name="Student 39", exact=True).last
        last.scroll_into_view_if_needed()
        header = page.locator(".grid thead th").first.bounding_box()
        assert 0 <= header["y"] < 600
        last.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("h1 >> text=Student 39")

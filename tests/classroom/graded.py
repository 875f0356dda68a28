"""Classes whose results are written by the test: what reports and gradebooks read, without grading anything."""

import json
from datetime import UTC, datetime
from pathlib import Path

from labs_utils.chapters import chapters
from labs_utils.classroom import course as classes
from labs_utils.classroom import submissions, write_private
from labs_utils.classroom.course import Course
from labs_utils.classroom.submissions import Submission
from labs_utils.exercises.registry import of_chapter

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def a_class(folder: Path, students: dict[str, str], chosen: list[str]) -> Course:
    """A class of these students (id -> name), each with an address of their own, over the chosen chapters."""
    lines = [["id", "name", "email"], *([id, name, f"{id}@school.example"] for id, name in students.items())]
    quoted = [",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in line) for line in lines]
    roster = folder.parent / f"{folder.name}-roster.csv"
    roster.write_text("\n".join(quoted), encoding="utf-8")
    return classes.new(folder, roster, chosen, title="Class & <Test>")


def hand_in(
    course: Course, student: str, chapter: str, answers: dict[str, dict] | None, when: datetime = NOON, **more
) -> Submission:
    """Keep a submission, and write its result: of each answer what is special (its "status", "message", "source", …).

    What is not named is "not attempted". With `None` it is not graded. `more` goes into the result, `hints` too.
    """
    content = json.dumps({"cells": [], "own": [student, chapter, str(when)]}).encode()
    kept = submissions.keep(course, student, chapter, content, when, "file", "a.ipynb", more.pop("hints", None))
    if answers is not None:
        blank = {"status": "not attempted", "message": "", "mistake": "", "seconds": 0.0}
        told = {number: blank | answers.get(number, {}) for number in of_chapter(chapters()[chapter])}
        result = {
            "student": student,
            "chapter": chapter,
            "sha256": kept.sha256,
            "exercises": told,
            "sources": {number: one.pop("source", "") for number, one in told.items()},
        }
        path = course.folder / "results" / student / f"{chapter}-{kept.sha256[:8]}.json"
        write_private(path, json.dumps(result | more))
    return kept

"""What `labs class …`, `labs hand-in` and `labs update` do."""

import argparse
from pathlib import Path

from labs_utils.classroom import course
from labs_utils.errors import WorkbookError
from labs_utils.paths import ROOT


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `class`, with an action for each step of a course, and the two commands that a student has."""
    actions = commands.add_parser("class", help="teach a class: hand out, collect, grade, report").add_subparsers(
        dest="action", required=True
    )
    new = _action(actions, "new", "make the folder of a class")
    new.add_argument("roster", type=Path, help="the school's list of students, a CSV file")
    new.add_argument("--chapters", nargs="+", metavar="NN", help="such as 00 04 05; without it, all")
    new.add_argument("--title", help="what the class is called")
    add = _action(actions, "add-student", "put a student on the roster")
    add.add_argument("--name", required=True)
    add.add_argument("--id", required=True)
    add.add_argument("--email", default="")
    _action(actions, "remove", "take a student off the roster, and delete all that is theirs").add_argument(
        "id", help="as labs class status shows it"
    )
    _action(actions, "status", "show who handed in what, and what has to be looked at")
    out = _action(actions, "hand-out", "build what the students get: a folder, and if you like more")
    out.add_argument("--zip", action="store_true", help="also as one zip file")
    out.add_argument("--git", type=Path, metavar="REPOSITORY", help="also into a bare git repository, for nbgitpuller")
    out.add_argument("--hub", action="store_true", help="also to the class's Hub, while it runs")
    _action(actions, "guide", "build the instructor's edition of the chapters: solved, with notes for who teaches")
    collect = _action(actions, "collect", "bring what students handed in")
    collect.add_argument(
        "sources", nargs="*", type=Path, help="zip files, folders and notebooks, as a platform has them"
    )
    collect.add_argument("--hub", action="store_true", help="from the class's Hub, while it runs")
    collect.add_argument("--homes", action="store_true", help="from the homes of the class's JupyterHub")
    grade = _action(actions, "grade", "run and judge what was handed in, in a sandbox")
    grade.add_argument("--no-sandbox", action="store_true", help="let every submission do on this machine what you may")
    _action(actions, "report", "build the pages for you and for each student, and gradebook.csv")
    book = _action(actions, "gradebook", "fill in the school's gradebook")
    book.add_argument("--moodle", type=Path, metavar="FILE", help="Moodle's grading worksheet, or its grades' export")
    book.add_argument("--canvas", type=Path, metavar="FILE", help="the export of Canvas' gradebook")
    book.add_argument("--xlsx", action="store_true", help="a workbook for a spreadsheet")
    book.add_argument("--chapter", default="", metavar="NN", help="only this chapter; without it, all in sum")
    _action(actions, "jupyterhub", "write the configuration of a JupyterHub for the class")
    serve = _action(actions, "serve", "run that JupyterHub, and the class's Hub, from this terminal")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8000)
    hand_in = commands.add_parser("hand-in", help="hand in a notebook to your teacher")
    hand_in.add_argument("notebook", type=Path)
    hand_in.add_argument("--share-hints", action="store_true", help="tell how many hints you saw")
    update = commands.add_parser("update", help="bring the hand-out that you work in up to a corrected one")
    update.add_argument("new", type=Path, help="the corrected one, a zip or a folder")


def _action(actions: argparse._SubParsersAction, name: str, does: str) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=does)
    parser.add_argument("folder", type=Path, help="the folder of the class")
    return parser


def run(chosen: argparse.Namespace) -> None:
    """Do what was chosen, and say what was done.

    Raises:
        WorkbookError: whatever a step refuses, in a sentence.
    """
    if chosen.command == "hand-in":
        from labs_utils.classroom.handing.hand_in import hand_in

        print(hand_in(notebook=chosen.notebook, share_hints=chosen.share_hints))
    elif chosen.command == "update":
        from labs_utils.classroom.handing.updating import update

        print("\n".join(update(ROOT, chosen.new)))
    elif chosen.action == "new":
        _new(chosen)
    else:
        _STEPS[chosen.action](course.read(chosen.folder), chosen)


def _new(chosen: argparse.Namespace) -> None:
    from labs_utils.classroom import roster

    made = course.new(chosen.folder, chosen.roster, chosen.chapters, chosen.title)
    print(roster.read(chosen.roster).said)
    print(f"{made.folder / course.TOML} holds deadlines, points and the late rule: read it and change what you like.")
    print(f"Then: labs class hand-out {made.folder}")


def _add_student(own: course.Course, chosen: argparse.Namespace) -> None:
    print(f"{len(course.add_student(own, chosen.name, chosen.id, chosen.email).students)} students")


def _remove(own: course.Course, chosen: argparse.Namespace) -> None:
    print(course.remove(own, chosen.id))


def _status(own: course.Course, _: argparse.Namespace) -> None:
    print(course.status(own))


def _hand_out(own: course.Course, chosen: argparse.Namespace) -> None:
    from labs_utils.classroom.handing import handout
    from labs_utils.classroom.serving import accounts

    print(f"{handout.hand_out(own)} is what your students get.")
    if chosen.zip:
        print(f"{handout.as_zip(own)} is the same as one file: put it where they find it.")
    if chosen.git:
        print(f"{chosen.git} is at {handout.as_git(own, chosen.git)}")
    if chosen.hub:
        print(handout.to_hub(own, *accounts.hub_of(own)))


def _guide(own: course.Course, _: argparse.Namespace) -> None:
    from labs_utils.classroom import guide

    print(f"{guide.build(own)} holds the solved chapters with notes for you. Open them in JupyterLab.")


def _collect(own: course.Course, chosen: argparse.Namespace) -> None:
    from labs_utils.classroom.handing import collecting
    from labs_utils.classroom.serving import accounts

    if not (chosen.sources or chosen.hub or chosen.homes):
        raise WorkbookError("Say where from: name zip files, folders or notebooks, or give --hub or --homes.")
    if chosen.sources:
        print(collecting.collect(own, chosen.sources))
    if chosen.hub:
        print(collecting.from_hub(own, *accounts.hub_of(own)))
    if chosen.homes:
        print(collecting.from_folder_of_homes(own, own.folder / "homes"))


def _grade(own: course.Course, chosen: argparse.Namespace) -> None:
    from labs_utils.classroom.grading import grading

    if chosen.no_sandbox:
        print("Without a sandbox, what students wrote can read, change and send whatever you can.")
    try:
        count = grading.grade(own, sandboxed=not chosen.no_sandbox)
    except KeyboardInterrupt:
        raise WorkbookError(
            f"Stopped. What was graded so far is kept: labs class grade {own.folder} goes on from there."
        ) from None
    print(f"Newly graded: {count}. What was graded before stands. Then: labs class report {own.folder}")


def _report(own: course.Course, _: argparse.Namespace) -> None:
    from labs_utils.classroom.reporting import gradebooks, reports

    print(f"{reports.build(own)} is for you; the pages in students/ beside it are to be handed back.")
    print(f"{gradebooks.plain_csv(own)} has the points.")


def _gradebook(own: course.Course, chosen: argparse.Namespace) -> None:
    from labs_utils.classroom.reporting import gradebooks

    filled = []
    if chosen.moodle:
        filled.append(gradebooks.fill_moodle(own, chosen.moodle, chosen.chapter))
    if chosen.canvas:
        filled.append(gradebooks.fill_canvas(own, chosen.canvas, chosen.chapter))
    for one in filled:
        print("\n".join([str(one.path), *one.notes]))
    if chosen.xlsx:
        print(gradebooks.xlsx(own))
    if not (filled or chosen.xlsx):
        print(gradebooks.plain_csv(own))


def _jupyterhub(own: course.Course, _: argparse.Namespace) -> None:
    from labs_utils.classroom.serving import jupyterhub

    print(f"{jupyterhub.write_config(own)} is yours to change. Then: labs class serve {own.folder}")


def _serve(own: course.Course, chosen: argparse.Namespace) -> None:
    from labs_utils.classroom.serving import jupyterhub

    jupyterhub.serve(own, chosen.host, chosen.port)


_STEPS = {
    "add-student": _add_student,
    "remove": _remove,
    "status": _status,
    "hand-out": _hand_out,
    "guide": _guide,
    "collect": _collect,
    "grade": _grade,
    "report": _report,
    "gradebook": _gradebook,
    "jupyterhub": _jupyterhub,
    "serve": _serve,
}

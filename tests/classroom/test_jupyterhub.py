"""JupyterHub for a class: accounts, walls, hand-outs, and three students in a real browser."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from benchmarks.support import browser as real
from labs_utils.classroom import course
from labs_utils.classroom.handing import handout
from labs_utils.classroom.serving import accounts, jupyterhub, student_server, walls
from labs_utils.errors import WorkbookError
from labs_utils.paths import ROOT

ROSTER = (
    "name,id,email\nStudent One,s01,one@example.org\nÉlève Deux,S-02,two@example.org\n学生三,学生三,three@example.org\n"
)
STUDENTS = ["s01", "S-02", "学生三"]
NOTEBOOK = "notebooks/04_tokenizers.ipynb"


def _can_wall() -> str:
    """Why no walls can be built here; "" if they can."""
    try:
        walls.check()
    except WorkbookError as error:
        return str(error)
    return ""


needs_walls = pytest.mark.skipif(bool(_can_wall()), reason=_can_wall() or "walls")


def made(folder: Path, roster: str = ROSTER) -> course.Course:
    """A class of three with chapter 04."""
    (folder / "school.csv").write_text(roster, encoding="utf-8")
    return course.new(folder / "class", folder / "school.csv", ["04"])


def mode(path: Path) -> str:
    return oct(path.stat().st_mode)[-3:]


# --- what is refused, before anything starts --------------------------------------------------------------------------


@pytest.fixture
def ready(tmp_path, monkeypatch):
    """A class that could be served."""
    monkeypatch.setattr(walls, "check", lambda: None)
    monkeypatch.setattr(jupyterhub.importlib.util, "find_spec", lambda name: object())
    known = made(tmp_path)
    (known.folder / "handout" / "notebooks").mkdir(parents=True)
    (known.folder / "handout" / NOTEBOOK).write_text("{}")
    return known


def test_a_class_that_is_ready_is_not_refused(ready):
    jupyterhub.check(ready, "127.0.0.1", 0)


def test_without_the_extra_the_command_that_installs_it_is_named(ready, monkeypatch):
    monkeypatch.setattr(jupyterhub.importlib.util, "find_spec", lambda name: None if name == "jupyterhub" else 1)
    with pytest.raises(WorkbookError, match=r"\(jupyterhub\).*pip install .*\[classroom\]"):
        jupyterhub.serve(ready)


def test_without_bubblewrap_nothing_is_served(ready, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(jupyterhub.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(walls.shutil, "which", lambda name: None)
    with pytest.raises(WorkbookError, match="apt-get install bubblewrap"):
        jupyterhub.serve(ready)


def test_a_bubblewrap_that_the_system_forbids_is_explained(monkeypatch):
    forbidden = subprocess.CompletedProcess([], 1, "", "setting up uid map: Permission denied")
    monkeypatch.setattr(walls, "_namespaces", lambda: ["bwrap"])
    monkeypatch.setattr(walls.subprocess, "run", lambda *words, **options: forbidden)
    with pytest.raises(WorkbookError, match="uid map: Permission denied.*namespaces"):
        walls.check()


def test_a_port_in_use_is_named(ready):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WorkbookError, match=f"port {port} .*choose another"):
            jupyterhub.check(ready, "127.0.0.1", port)


def test_a_class_is_served_once(ready):
    from labs_utils.hub_server import server

    with server.serving(accounts.hub_folder(ready.folder)):
        for refused in (
            lambda: jupyterhub.check(ready, "127.0.0.1", 0),
            lambda: accounts.forget(ready.folder, "s01"),
        ):
            with pytest.raises(WorkbookError, match="Ctrl-C"):
                refused()
    with pytest.raises(WorkbookError, match="does not run"):
        accounts.hub_of(ready)


def test_a_hand_out_comes_first(ready):
    shutil.rmtree(ready.folder / "handout")
    with pytest.raises(WorkbookError, match="labs class hand-out"):
        jupyterhub.check(ready, "127.0.0.1", 0)


@pytest.mark.parametrize("place", [ROOT / "data", Path(sys.prefix)])
def test_a_class_in_a_folder_that_students_see_is_refused(ready, place):
    with pytest.raises(WorkbookError, match="which the students of a JupyterHub see"):
        jupyterhub.check(dataclasses.replace(ready, folder=place / "class"), "127.0.0.1", 0)


def test_an_empty_roster_is_named(ready):
    empty = dataclasses.replace(ready, students={})
    for refused in (jupyterhub.write_config, jupyterhub.serve):
        with pytest.raises(WorkbookError, match="no students yet.*add-student"):
            refused(empty)


def test_a_student_may_not_be_called_as_the_teacher(tmp_path):
    with pytest.raises(WorkbookError, match="'Teacher', which is the teacher's name"):
        jupyterhub.write_config(made(tmp_path, "name,id\nStudent One,Teacher\n"))


# --- accounts ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A class with its configuration, for tests that only read."""
    known = made(tmp_path_factory.mktemp("served"))
    jupyterhub.write_config(known)
    return known


def test_everything_is_the_teachers_alone(served):
    below = [served.folder / "jupyterhub", *(served.folder / "jupyterhub").rglob("*"), served.folder / "homes"]
    below += (served.folder / "homes").iterdir()
    assert {path.name for path in below} >= {"jupyterhub_config.py", "passwords.csv", "tokens.json", *STUDENTS}
    assert mode(served.folder) == "700"
    for path in below:
        wanted = "700" if path.is_dir() else "600"
        in_private_folder = "hub" in path.relative_to(served.folder).parts[1:]  # SQLite's own
        assert in_private_folder or mode(path) == wanted, path


def test_secrets_are_made_once(tmp_path):
    known = made(tmp_path)
    jupyterhub.write_config(known)
    before = accounts.passwords(known.folder), accounts.tokens(known.folder)
    assert set(before[0]) == set(before[1]) == {*STUDENTS, "teacher"}
    assert len({*before[0].values(), *before[1].values()}) == 8
    course.add_student(known, name="Student Four", id="s04", email="four@example.org")
    jupyterhub.prepare(known.folder)
    after = accounts.passwords(known.folder), accounts.tokens(known.folder)
    assert [{name: one[name] for name in known_before} for one, known_before in zip(after, before, strict=True)] == [
        *before
    ]
    assert "s04" in after[0] and "s04" in after[1]


def test_passwords_that_a_spreadsheet_saved_are_read(tmp_path):
    path = accounts.place(tmp_path, "passwords")
    path.parent.mkdir()
    path.write_text("\ufeffid;password\r\ns01; my own \r\n\r\n学生三;other\r\n", encoding="utf-8")
    assert accounts.passwords(tmp_path) == {"s01": "my own", "学生三": "other"}


def test_lost_tokens_are_made_anew_and_work(tmp_path):
    from labs_utils.hub_server import auth
    from labs_utils.hub_server.store import Store

    known = made(tmp_path)
    jupyterhub.write_config(known)
    accounts.place(known.folder, "tokens").write_text("{ damaged")
    accounts.bring_up_to_date(known)
    database = Store(accounts.hub_folder(known.folder)).database
    for name, token in accounts.tokens(known.folder).items():
        caller = auth.caller(database, f"Bearer {token}")
        role = "admin" if name == "teacher" else "contributor"
        assert (caller.name, caller.organisations) == (accounts.hub_name(name), {"class": role})


def test_every_id_has_a_name_on_the_hub_of_its_own():
    from labs_utils.hub_server.names import repo_name, user_name

    ids = ["s01", "a--b", "class", "CLASS", "api", "x@example.org", "学生三", "é", "-", "_", "a" * 64, "a.b"]
    names = [accounts.hub_name(one) for one in ids]
    assert len({name.lower() for name in names}) == len(ids)
    assert names[0] == "s01" and "class" not in [name.lower() for name in names]
    for name in names:
        assert user_name(name) and repo_name(f"{name}-hand-in")


def test_what_the_teacher_wrote_into_the_configuration_stays(tmp_path):
    known = made(tmp_path)
    path = jupyterhub.write_config(known)
    text = path.read_text(encoding="utf-8")
    compile(text, path, "exec")
    secrets = [*accounts.passwords(known.folder).values(), *accounts.tokens(known.folder).values(), *STUDENTS]
    assert not [secret for secret in secrets if f'"{secret}"' in text or f"'{secret}'" in text]
    path.write_text(text + "# mine\n", encoding="utf-8")
    assert jupyterhub.write_config(known) == path
    assert path.read_text(encoding="utf-8").endswith("# mine\n")


def test_nothing_of_a_forgotten_student_is_left(tmp_path):
    from labs_utils.hub_server import repos
    from labs_utils.hub_server.store import Store

    known = made(tmp_path, "name,id,email\nStudent One,s01,\nStudent Two,zz-leaver,\n")
    jupyterhub.write_config(known)
    home = accounts.home_of(known.folder, "zz-leaver")
    (home / "work.txt").write_text("mine")
    (accounts.home_of(known.folder, "s01") / "work.txt").write_text("kept")
    store = Store(accounts.hub_folder(known.folder))
    caller = repos.Caller("zz-leaver", "write", "", {"class": "contributor"})
    with store.database.writing() as db:
        repos.create(store, db, caller, "dataset", "class", "zz-leaver-hand-in", True, None)
    accounts.place(known.folder, "state").write_text("zz-leaver")
    accounts.forget(known.folder, "zz-leaver")
    left = [path for path in (known.folder / "jupyterhub").rglob("*") if path.is_file()]
    assert left and not [path for path in left if b"zz-leaver" in path.read_bytes()]
    assert not home.exists()
    assert (accounts.home_of(known.folder, "s01") / "work.txt").read_text() == "kept"
    assert set(accounts.passwords(known.folder)) == {"s01", "teacher"}


# --- who may log in ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def log_in(served):
    """A function of id and password: the name that JupyterHub takes them for, or None."""
    import asyncio

    pytest.importorskip("jupyterhub")
    from labs_utils.classroom.serving.spawning import ClassAuthenticator

    gate = ClassAuthenticator(folder=str(served.folder), allowed_users={*STUDENTS, "teacher"}, admin_users={"teacher"})

    def tried(name: str, password: str) -> str | None:
        found = asyncio.run(gate.get_authenticated_user(None, {"username": name, "password": password}))
        return found and found["name"]

    return tried


def test_a_student_logs_in_with_their_own_password(log_in, served):
    for name, password in accounts.passwords(served.folder).items():
        assert log_in(name, password) == name
    assert log_in(" s-02 ", f"{accounts.passwords(served.folder)['S-02']} ") == "S-02"  # typed on a telephone


def test_another_students_password_does_not_let_them_in(log_in, served):
    own = accounts.passwords(served.folder)
    assert log_in("s01", own["S-02"]) is None
    assert log_in("teacher", own["s01"]) is None
    assert log_in("s01", "") is None
    assert log_in("nobody", own["s01"]) is None


def test_who_is_not_on_the_roster_or_has_no_password_is_not_let_in(served):
    import asyncio

    pytest.importorskip("jupyterhub")
    from labs_utils.classroom.serving.spawning import ClassAuthenticator

    gate = ClassAuthenticator(folder=str(served.folder), allowed_users={"s01", "new"}, admin_users={"teacher"})
    for name, password in [("S-02", accounts.passwords(served.folder)["S-02"]), ("new", "")]:
        given = {"username": name, "password": password}
        assert asyncio.run(gate.get_authenticated_user(None, given)) is None


# --- a home is laid out -----------------------------------------------------------------------------------------------


def _notebook(*cells: str) -> str:
    listed = [
        {"id": f"c04-{n:03}", "cell_type": "code", "source": source, "metadata": {}, "outputs": []}
        for n, source in enumerate(cells)
    ]
    for one in listed:
        one["execution_count"] = None
    return json.dumps({"cells": listed, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def _handout(folder: Path, *cells: str) -> Path:
    content = {NOTEBOOK: _notebook(*cells), "labs_utils/__init__.py": "", "README.md": "how to install"}
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    given = folder / ".handed-out"
    given.mkdir(exist_ok=True)
    shutil.copy(folder / NOTEBOOK, given)
    listed = {name: handout.fingerprint((folder / name).read_bytes()) for name in content}
    (given / "files.json").write_text(json.dumps({"files": listed}))
    return folder


def test_a_home_gets_the_notebooks_and_no_second_workbook(tmp_path):
    given = _handout(tmp_path / "given", "lab.start('04')")
    student_server.lay_out(given, tmp_path / "home")
    assert (tmp_path / "home" / NOTEBOOK).read_bytes() == (given / NOTEBOOK).read_bytes()
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == [".handed-out", "notebooks"]


def test_work_is_kept_at_each_login_and_when_a_correction_arrives(tmp_path):
    home = tmp_path / "home"
    given = _handout(tmp_path / "given", "lab.start('04')", "a = ...", "print('wrogn')")
    student_server.lay_out(given, home)
    (home / NOTEBOOK).write_text(_notebook("lab.start('04')", "a = 42", "print('wrogn')"))
    student_server.lay_out(given, home)
    assert "a = 42" in (home / NOTEBOOK).read_text() and not (home / student_server.CORRECTED).exists()
    _handout(given, "lab.start('04')", "a = ...", "print('right')")
    student_server.lay_out(given, home)
    now = (home / NOTEBOOK).read_text()
    assert "a = 42" in now and "right" in now and "wrogn" not in now
    assert "04_tokenizers.ipynb is corrected" in (home / student_server.CORRECTED).read_text()


def test_a_deleted_notebook_is_given_again(tmp_path):
    given = _handout(tmp_path / "given", "lab.start('04')")
    student_server.lay_out(given, tmp_path / "home")
    (tmp_path / "home" / NOTEBOOK).unlink()
    student_server.lay_out(given, tmp_path / "home")
    assert (tmp_path / "home" / NOTEBOOK).is_file()


def test_what_was_there_before_the_first_login_stays(tmp_path):
    given, mine = _handout(tmp_path / "given", "lab.start('04')"), tmp_path / "home" / NOTEBOOK
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    student_server.lay_out(given, tmp_path / "home")
    assert mine.read_text() == "mine"


def test_the_teachers_models_are_found_and_follow_them(tmp_path, monkeypatch):
    monkeypatch.setenv("LABS_HOME", str(tmp_path / "home"))
    for version in ("old", "new"):
        (tmp_path / version / "llm-1").mkdir(parents=True)
        (tmp_path / version / "llm-1" / "made.json").write_text(version)
        student_server.link_models(tmp_path / version)
    assert (tmp_path / "home/cache/checkpoints/llm-1/made.json").read_text() == "new"


# --- walls ------------------------------------------------------------------------------------------------------------

PROBE = """
import json, os, socket, subprocess, sys
from pathlib import Path
folder, root = map(Path, sys.argv[1:])

def seen(path):
    try:
        return sorted(os.listdir(path)) if os.path.isdir(path) else open(path, "rb").read().decode("utf-8", "replace")
    except OSError:
        return None

def written(path):
    try:
        Path(path).write_text("changed")
        return True
    except OSError:
        return False

chapter = root / "chapters/04_tokenizers"
told = {
    "home": str(Path.home()), "own": seen("/home/student"), "handout": seen("/class/handout"),
    "class": [seen(folder / name) for name in ("", "class.toml", "homes", "homes/S-02", "jupyterhub/tokens.json")],
    "hidden": [seen(root / name) for name in ("solutions", "tests", ".git", "chapters/04_tokenizers/lesson.py")],
    "chapter": seen(chapter), "notebooks": seen(root / "notebooks"), "etc": seen("/etc/shadow"), "root": seen(root),
    "kept": written("/home/student/work.txt"),
    "may": [os.access(path, os.W_OK) for path in ("/", "/dev", "/proc/sys/kernel/core_pattern")],
    "changed": [written(path) for path in (root / "labs_utils/x.py", chapter / "judges.py", "/class/handout/x",
                                           "/usr/x", Path(sys.prefix) / "x")],
    "processes": [name for name in os.listdir("/proc") if name.isdigit()],
    "environments": [seen(f"/proc/{name}/environ") for name in os.listdir("/proc") if name.isdigit()],
    "rights": [line for line in open("/proc/self/status") if line.startswith("CapEff")][0].split()[1],
    "namespaces": subprocess.run(["unshare", "--user", "true"], capture_output=True).returncode,
    "is root": os.getuid() == 0,
}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def inside(served, tmp_path_factory):
    """What a program in the walls of s01 sees and can do, while S-02's secret is in another process."""
    if _can_wall():
        pytest.skip(_can_wall())
    given = _handout(tmp_path_factory.mktemp("given"), "lab.start('04')")
    secret = accounts.tokens(served.folder)["S-02"]
    other = subprocess.Popen(["sleep", "60"], env={"LABS_HUB_TOKEN": secret})
    shut_in = walls.walls(accounts.home_of(served.folder, "s01"), accounts.place(served.folder, "users"), given)
    own = {"HOME": walls.HOME, "PATH": os.environ["PATH"]}
    command = [*shut_in, sys.executable, "-c", PROBE, str(served.folder), str(ROOT)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=own, timeout=120)
    finally:
        other.kill()
        other.wait()
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_inside_are_the_own_home_and_the_hand_out(inside, served):
    assert inside["home"] == "/home/student" and inside["own"] == [] and "notebooks" in inside["handout"]
    assert inside["kept"] and (served.folder / "homes" / "s01" / "work.txt").read_text() == "changed"


def test_the_class_is_not_there(inside):
    assert inside["class"] == [None] * 5 and inside["etc"] is None


def test_the_course_is_there_without_its_solutions(inside):
    assert inside["chapter"] == ["chapter.toml", "exercises.toml", "judges.py", "quiz.toml"]
    assert inside["notebooks"] == ["04_tokenizers.ipynb"]  # of the hand-out: the teacher's own may be solved
    assert inside["hidden"] == [None] * 4
    assert set(inside["root"]) <= {".venv", "chapters", "data", "labs_utils", "notebooks", "pyproject.toml"}


def test_nothing_but_the_home_can_be_changed(inside):
    assert inside["changed"] == [False] * 5
    assert inside["may"] == [False] * 3  # asked, and not tried: it would change this machine


def test_other_processes_and_their_environments_are_not_there(inside, served):
    assert len(inside["processes"]) <= 3  # bubblewrap's first process, and this one
    assert accounts.tokens(served.folder)["S-02"] not in "".join(one or "" for one in inside["environments"])


def test_there_are_no_rights_and_no_way_to_some(inside):
    assert int(inside["rights"], 16) == 0 and not inside["is root"]
    if "--disable-userns" in walls._help():
        assert inside["namespaces"] != 0


@needs_walls
def test_a_command_on_a_lifeline_ends_with_who_started_it():
    start = f"import subprocess, time; subprocess.Popen({[*walls.lifeline(), 'sleep', '300']}); time.sleep(300)"
    parent = subprocess.Popen([sys.executable, "-c", start])
    _until(lambda: any(one.name() == "sleep" for one in psutil.Process(parent.pid).children(recursive=True)))
    below = psutil.Process(parent.pid).children(recursive=True)
    parent.kill()
    parent.wait()
    _, left = psutil.wait_procs(below, timeout=20)
    for one in left:
        one.kill()
    assert left == []


def test_the_largest_process_ends_when_all_hold_too_much():
    pytest.importorskip("jupyterhub")
    from labs_utils.classroom.serving.spawning import hold_to_limits

    large = "held = bytearray(300 * 2**20); import time; time.sleep(60)"
    start = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {large!r}]); time.sleep(60)"
    server = subprocess.Popen([sys.executable, "-c", start])
    try:
        own = psutil.Process(server.pid)
        _until(lambda: any(one.memory_info().rss > 300 * 2**20 for one in own.children()))
        hold_to_limits(server.pid, 500 * 2**20)
        assert len(own.children()) == 1
        hold_to_limits(server.pid, 200 * 2**20)
        _until(lambda: not [one for one in own.children() if one.status() != psutil.STATUS_ZOMBIE])
        assert server.poll() is None
    finally:
        for one in [*own.children(), own]:
            one.kill()
        server.wait()


def _until(true, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "It did not happen in time."
        time.sleep(0.1)


# --- a class in a browser ---------------------------------------------------------------------------------------------

RUN = """
import sys
from pathlib import Path
from labs_utils.classroom import course
from labs_utils.classroom.serving import jupyterhub
jupyterhub.serve(course.read(Path(sys.argv[1])), port=int(sys.argv[2]))
"""
KERNEL = """async code => {
    const kernel = await jupyterapp.serviceManager.kernels.startNew({ name: "python3" });
    const told = [];
    const future = kernel.requestExecute({ code });
    future.onIOPub = message => told.push(message.content.text ?? message.content.evalue ?? "");
    await future.done;
    await kernel.shutdown();
    return told.join("");
}"""
ANSWER = """([stub, answer]) => {
    const cells = jupyterapp.shell.currentWidget.content.widgets;
    cells.find(cell => cell.model.sharedModel.id === stub).model.sharedModel.setSource(answer);
}"""
RUN_CELLS = """async ids => {
    const { content } = jupyterapp.shell.currentWidget;
    for (const id of ids) {
        content.activeCellIndex = content.widgets.findIndex(cell => cell.model.sharedModel.id === id);
        await jupyterapp.commands.execute("notebook:run-cell");
    }
}"""
ADD = """async source => {
    const { content } = jupyterapp.shell.currentWidget;
    await jupyterapp.commands.execute("docmanager:save");
    await jupyterapp.commands.execute("notebook:insert-cell-below");
    content.activeCell.model.sharedModel.setSource(source);
    await jupyterapp.commands.execute("notebook:run-cell");
}"""
SHOWN = """([cell, text]) => {
    const { content } = jupyterapp.shell.currentWidget;
    const found = content.widgets.find(one => one.model.sharedModel.id === cell) ?? content.activeCell;
    return JSON.stringify(found.model.outputs?.toJSON() ?? "").includes(text);
}"""
ATTACK = """
import json, os, socket, urllib.error, urllib.request
from pathlib import Path

folder, others_server, hub, others_name = {given!r}
told = {{"read": [], "answered": []}}
for path in [folder, folder + "/homes/s01", folder + "/homes/s01/{notebook}", folder + "/jupyterhub/tokens.json",
             folder + "/jupyterhub/passwords.csv", folder + "/class.toml", folder + "/roster.csv",
             "/home/student/../s01", *(f"/proc/{{name}}/environ" for name in os.listdir("/proc") if name.isdigit())]:
    try:
        told["read"].append(str(os.listdir(path)) if os.path.isdir(path) else Path(path).read_text())
    except OSError:
        pass

token, ours = os.environ["LABS_HUB_TOKEN"], os.environ["JUPYTERHUB_API_TOKEN"]
questions = [
    (others_server + "api/contents", f"token {{ours}}"), (others_server + "api/contents", ""),
    (others_server + "api/kernels", f"token {{ours}}"),
    (os.environ["JUPYTERHUB_API_URL"] + "/users/s01", f"token {{ours}}"),
    (hub + f"/api/datasets/class/{{others_name}}-hand-in", f"Bearer {{token}}"),
    (hub + f"/datasets/class/{{others_name}}-hand-in/resolve/main/04/04_tokenizers.ipynb", f"Bearer {{token}}"),
]
for address, rights in questions:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers={{"Authorization": rights}})) as answer:
            told["answered"].append([answer.status, address, answer.geturl(), answer.read().decode()[:200]])
    except urllib.error.HTTPError as error:
        told["answered"].append([error.code, address, "", ""])
print(json.dumps(told))
"""


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.skipif(real.CHROMIUM is None, reason=real.MISSING)
@needs_walls
def test_three_students_log_in_solve_and_hand_in(tmp_path):
    pytest.importorskip("jupyterhub")
    known = made(tmp_path)
    handout.hand_out(known)
    config = jupyterhub.write_config(known)
    with config.open("a", encoding="utf-8") as file:  # for the browser here; a teacher's own lines go there, too
        file.write('c.Spawner.args += ["--LabApp.expose_app_in_browser=True"]\n')
    with Served(known) as hub, real.browser() as browser:
        with hub.refused(browser, "s01", accounts.passwords(known.folder)["S-02"]):
            pass
        with (
            hub.page(browser, "s01") as first,
            hub.page(browser, "S-02") as second,
            hub.page(browser, "学生三") as third,
        ):
            _solves(first, hub)
            _hands_in(first, hub, known)
            others = first.evaluate(KERNEL, "import os; print(os.environ['JUPYTERHUB_SERVICE_URL'])").strip()
            _finds_nothing(second, hub, known, others)
            told = third.evaluate(KERNEL, "import labs_utils as lab\nlab.start('04')\nprint(lab.hub())")
            # On a port, everybody on the machine could read what a kernel prints.
            connection = "from ipykernel.connect import get_connection_info\nprint(get_connection_info())"
            assert '"transport": "ipc"' in third.evaluate(KERNEL, connection)
            assert f"you are '{accounts.hub_name('学生三')}'" in told and "The Hub of your class" in told
    kernels = [line for line in hub.had if "ipykernel_launcher" in line]
    servers = [line for line in hub.had if "jupyterhub.singleuser" in line]
    assert (len(kernels), len(servers)) == (1, 3)
    assert hub.left == []


@needs_walls
def test_nothing_is_left_of_a_class_that_was_killed(tmp_path):
    pytest.importorskip("jupyterhub")
    from labs_utils.hub_server import server

    known = made(tmp_path)
    _handout(known.folder / "handout", "lab.start('04')")
    with Served(known, signal.SIGKILL) as hub:
        _until(lambda: server.running(accounts.hub_folder(known.folder)))
    assert len(hub.had) >= 6  # the proxy, the Hub, the one that stops idle servers: each with its lifeline
    assert hub.left == []


class Served:
    """A class that is served as `labs class serve` does, ended by Ctrl-C or another signal; then what was `left`."""

    def __init__(self, known: course.Course, end: int = signal.SIGINT):
        self.folder, self.address, self.end = known.folder, "", end

    def __enter__(self) -> "Served":
        port = real._free_port()
        self.address = f"http://127.0.0.1:{port}"
        self.log = (self.folder.parent / "served.log").open("wb")
        command = [sys.executable, "-c", RUN, str(self.folder), str(port)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, start_new_session=True)
        _until(lambda: self.process.poll() is not None or _answers(port), 120)
        assert self.process.poll() is None, self.said()
        return self

    def __exit__(self, *error) -> None:
        below = psutil.Process(self.process.pid).children(recursive=True)
        self.had = [" ".join(one.cmdline()) for one in below]
        self.process.send_signal(self.end)
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            self.log.close()
        _, left = psutil.wait_procs(below, timeout=10)
        self.left = [one for one in left if one.status() != psutil.STATUS_ZOMBIE]

    def said(self) -> str:
        return (self.folder.parent / "served.log").read_text(errors="replace")

    def page(self, browser, name: str):
        return self._log_in(browser, name, accounts.passwords(self.folder)[name], "**/lab**")

    def refused(self, browser, name: str, password: str):
        return self._log_in(browser, name, password, "**/login**", "Invalid username or password")

    @contextlib.contextmanager
    def _log_in(self, browser, name: str, password: str, wanted: str, text: str = ""):
        with real.offline_page(browser) as (page, watch):
            page.set_default_timeout(120_000)
            page.goto(self.address)
            page.get_by_label("Username").fill(name)
            page.get_by_label("Password").fill(password)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(wanted)
            if text:
                page.get_by_text(text).wait_for()
            else:
                page.wait_for_function("window.jupyterapp?.serviceManager?.isReady")
            yield page
            assert watch.outside == []


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _cells(path: Path) -> dict[str, str]:
    return {cell["id"]: "".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]}


def _solves(page, hub: Served) -> None:
    """Open the chapter in JupyterLab, write the answer to 4.1, run it and its check, and see that it passed."""
    real.open_notebook(page, page.url.partition("/lab")[0] + f"/lab/tree/{NOTEBOOK}")
    solved = _cells(ROOT / "solutions" / "04_tokenizers.ipynb")
    stub = next(key for key, source in solved.items() if "def count_pairs" in source)
    begin = next(key for key, source in solved.items() if "lab.start(" in source)
    check = next(key for key, source in solved.items() if source.startswith('lab.check("4.1"'))
    page.evaluate(ANSWER, [stub, solved[stub]])
    page.evaluate(RUN_CELLS, [begin, stub, check])
    page.wait_for_function(SHOWN, arg=[check, "4.1 Count the pairs: passed"])
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    _until(lambda: _cells(hub.folder / "homes" / "s01" / NOTEBOOK)[stub] == solved[stub])


def _hands_in(page, hub: Served, known: course.Course) -> None:
    """Hand in from the notebook; the teacher collects it from the class's Hub."""
    from labs_utils.classroom import submissions
    from labs_utils.classroom.handing import collecting

    page.evaluate(ADD, "from labs_utils.classroom.handing.hand_in import hand_in\nhand_in()")
    page.wait_for_function(SHOWN, arg=["the one that was added", "class/s01-hand-in"])
    assert submissions.all_of(known) == []
    collecting.from_hub(known, *accounts.hub_of(known))
    (one,) = submissions.all_of(known)
    assert (one.student, one.chapter, one.source) == ("s01", "04", "hub")
    assert "def count_pairs" in one.file.read_text(encoding="utf-8")


def _finds_nothing(page, hub: Served, known: course.Course, others: str) -> None:
    """A student who looks for another's work, tokens and marks from their own kernel finds nothing."""
    endpoint = accounts.hub_of(known)[0]
    code = ATTACK.format(given=(str(hub.folder), others, endpoint, "s01"), notebook=NOTEBOOK)
    told = json.loads(page.evaluate(KERNEL, code))
    secrets = [*accounts.tokens(hub.folder).items(), *accounts.passwords(hub.folder).items()]
    stolen = [(name, place) for name, secret in secrets for place in told["read"] if name != "S-02" and secret in place]
    assert stolen == [] and "count_pairs" not in str(told["read"])
    assert [code for code, *_ in told["answered"]] == [403] * 3 + [404] * 3, told["answered"]

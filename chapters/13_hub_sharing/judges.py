"""Chapter 13: addresses, patterns, blobs, pointers, cards, a shared file, and the choice of a model."""

import hashlib
import itertools
import random
import re
import string
from fnmatch import fnmatchcase
from functools import partial
from numbers import Integral
from types import SimpleNamespace
from urllib.parse import quote

from labs_utils.exercises.vocabulary import Trial, describe, exercise

FRONTS = {"model": "", "dataset": "datasets/", "space": "spaces/"}


def address(endpoint, repo_id, path, revision, repo_type, safe: str = "", keep: str = "/", fronts=FRONTS) -> str:
    front = fronts.get(repo_type, "")
    return f"{endpoint}/{front}{repo_id}/resolve/{quote(revision, safe=safe)}/{quote(path, safe=keep)}"


@exercise(
    "13.1",
    mistakes=[
        ("A '/' in the revision has to be written %2F.", partial(address, safe="/")),
        ("In the path a '/' stays as it is.", partial(address, keep="")),
        ("For a data set or a Space, something stands in front of the name.", partial(address, fronts={})),
    ],
)
def file_url(answer):
    from huggingface_hub import hf_hub_url

    draw = random.Random(13)
    cases = [
        ("http://hub", "ada/cats", "sub/a.txt", "refs/pr/3", "dataset"),
        ("https://huggingface.co", "ada/app", "a folder/my file.py", "feature/colours", "space"),
        ("http://127.0.0.1:8000", "ada/cats", "config.json", "main", "model"),
    ]
    for _ in range(20):
        one, two, *names = ("".join(draw.choices(string.ascii_lowercase, k=5)) for _ in range(5))
        revision = draw.choice(["main", "v1.0", f"refs/pr/{draw.randint(1, 99)}", f"{one}/{two}", "0" * 40])
        path = "/".join(names[: draw.randint(1, 3)])
        cases.append(("http://localhost:7", f"{one}/{two}", path, revision, draw.choice([*FRONTS])))
    for endpoint, repo_id, path, revision, repo_type in cases:
        trial = Trial(answer, endpoint, repo_id, path, revision, repo_type)
        got = trial.returns(str)
        trial.equal(
            got,
            hf_hub_url(repo_id, path, repo_type=repo_type, revision=revision, endpoint=endpoint),
            "your address {got} is not the library's",
            ("An address begins with the endpoint, then a slash.", not got.startswith(endpoint + "/")),
            ("Look at what stands in front of the name.", f"{endpoint}/{FRONTS[repo_type]}{repo_id}/" not in got),
            ("The word 'resolve' stands between the name and the revision.", "/resolve/" not in got),
            ("A blank has to be written %20.", path.count(" ") != got.count("%20")),
        )


def chosen(files, allow, ignore, star: str = "*", enough=any, match=fnmatchcase) -> list[str]:
    """What a download brings; the options are ways of getting it wrong."""

    def fits(path, patterns) -> bool:
        return enough([match(path, one + star if one.endswith("/") else one) for one in patterns])

    rest = [path for path in files if allow is None or fits(path, allow)]
    return [path for path in rest if ignore is None or not fits(path, ignore)]


@exercise(
    "13.2",
    mistakes=[
        ("A pattern that ends with '/' means all that is in the folder.", partial(chosen, star="")),
        ("One matching pattern is enough.", partial(chosen, enough=lambda found: bool(found) and all(found))),
        (
            "An empty list is a rule: nothing matches it. Only None means no rule.",
            lambda files, allow, ignore: chosen(files, allow or None, ignore or None),
        ),
        ("None means no rule: everything comes.", lambda files, allow, ignore: chosen(files, allow or [], ignore)),
        ("Perhaps you didn't look at ignore.", lambda files, allow, ignore: chosen(files, allow, None)),
        (
            "The '*' goes across '/'.",
            partial(chosen, match=lambda path, one: fnmatchcase(path, one) and path.count("/") == one.count("/")),
        ),
        (
            "Capital and small letters differ.",
            partial(chosen, match=lambda path, one: fnmatchcase(path.lower(), one.lower())),
        ),
    ],
)
def wanted(answer):
    from huggingface_hub.utils import filter_repo_objects

    files, draw = ["README.md", "config.json", "m.onnx", "onnx/config.json", "a/b/c.bin"], random.Random(2)
    cases = [(files, ["*.json", "*.*"], ["config*"]), (files, None, ["onnx/", "R*"]), (files, ["*.json"], ["onnx/*"])]
    cases += [(files, None, None), (files, [], None), (files, None, []), (files, ["onnx/"], None), ([], ["*"], None)]
    cases += [(files[::-1], ["*.json", "config.*"], None), (files, None, ["*.bin", "*.onnx"])]
    cases += [(files, ["*.JSON", "r*", "m.onnx"], None), (files, None, ["readme.md"])]
    patterns = ["*.json", "*.md", "onnx/", "a/", "*", "config.json", "*/*", "[Rc]*", "?????.txt"]
    for _ in range(40):
        allow, ignore = (draw.choice([None, draw.sample(patterns, draw.randint(0, 3))]) for _ in range(2))
        cases.append((draw.sample(files, draw.randint(1, 5)), allow, ignore))
    for paths, allow, ignore in cases:
        trial = Trial(answer, paths, allow, ignore)
        got = trial.returns(list, "a list of paths", of=str)
        expected = list(filter_repo_objects(paths, allow_patterns=allow, ignore_patterns=ignore))
        trial.equal(
            got,
            expected,
            "your choice {got} is not what a download brings",
            ("Keep the order of files.", sorted(got) == sorted(expected)),
            ("A file comes once, however many patterns it matches.", set(got) == set(expected)),
            (f"Look at {[path for path in paths if (path in got) != (path in expected)][:1]}.", set(got) <= set(paths)),
        )


def head_of(content: bytes, end: bytes = b"\0") -> bytes:
    return b"blob %d" % len(content) + end


def nothing(content: bytes) -> bytes:
    return b""


def named(content: bytes, lfs: bool, small=hashlib.sha1, head=head_of, lfs_head=nothing) -> str:
    if lfs:
        return hashlib.sha256(lfs_head(content) + content).hexdigest()
    return small(head(content) + content).hexdigest()


@exercise(
    "13.3",
    mistakes=[
        ("This is the sha1 of the content alone; Git puts a head in front of it.", partial(named, head=nothing)),
        (
            "This is the sha256. A file that is not LFS carries Git's sha1.",
            partial(named, small=hashlib.sha256, head=nothing),
        ),
        ("This is Git's sha1. LFS takes sha256.", lambda content, lfs: named(content, False)),
        ("For LFS the content is hashed as it is, without a head.", partial(named, lfs_head=head_of)),
        ("One zero byte ends the head.", partial(named, head=partial(head_of, end=b""))),
        ("Hashes are written with small letters.", lambda content, lfs: named(content, lfs).upper()),
        (
            "The head has the number of bytes, not of characters.",
            partial(named, head=lambda content: head_of(b"." * len(content.decode()))),
        ),
    ],
)
def blob_name(answer):
    from huggingface_hub.utils.sha import git_hash

    draw = random.Random(3)
    contents = [b"hello\n", b"", "ünïcode".encode(), b"\0\xff", *(draw.randbytes(size) for size in (1, 10, 70_000))]
    for content, lfs in itertools.product(contents, (False, True)):
        trial = Trial(answer, content, lfs)
        got = trial.returns(str, perhaps="hexdigest() gives a string.")
        expected = hashlib.sha256(content).hexdigest() if lfs else git_hash(content)
        trial.equal(got, expected, "your name {got} is not the blob's")


def parsed(content: bytes, mark: str = "", begin: bytes = b"version https://git-lfs.github.com/spec/v1\n"):
    """What a pointer names, read by a pattern; None where the file doesn't begin as one."""
    found = re.match(rb"(?s)" + begin + rb"oid sha256:(\w+)\nsize (\d+)\n", content)
    return (mark + found[1].decode(), int(found[2])) if found else None


@exercise(
    "13.4",
    mistakes=[
        ("Leave out the word 'sha256:'.", partial(parsed, mark="sha256:")),
        ("The size is an int, not a string.", lambda content: (parsed(content)[0], str(parsed(content)[1]))),
        ("The sha256 is a string, not bytes.", lambda content: (parsed(content)[0].encode(), parsed(content)[1])),
        ("The sha256 comes first, then the size.", lambda content: parsed(content)[::-1]),
        ("A pointer begins with its version line.", partial(parsed, begin=b".*version [^\n]*\n")),
        (
            "The version line has to be the whole line: another version can begin like it.",
            partial(parsed, begin=rb"version https://git-lfs\.github\.com/spec/v1[^\n]*\n"),
        ),
    ],
)
def read_pointer(answer):
    draw = random.Random(4)
    version = b"version https://git-lfs.github.com/spec/v1\n"
    for _ in range(10):
        oid, size = f"{draw.getrandbits(256):064x}", draw.randint(2, 10**11)
        pointer = version + f"oid sha256:{oid}\nsize {size}\n".encode()
        trial = Trial(answer, pointer, given=f"the pointer {pointer.decode()!r}")
        trial.expect(trial.result is not None, "a pair of the sha256 and the size was expected, but got None")
        got = trial.returns(tuple, "a pair of the sha256 and the size")
        trial.equal(got, (oid, size), "your pair {got} is not what it names")
        trial.expect(isinstance(got[1], Integral), f"the size should be an int, but got {describe(got[1])}")
    others = [b"", b"hello\n", pointer.replace(version, b"version 2\n"), b"See:\n" + pointer, b"\xff\n" + pointer]
    others += [pointer.replace(b"/v1\n", later) for later in (b"/v10\n", b"/v1.1\n")]
    others += [b"See " + version, b"version 2 of the plan\nNo pointer.\n", b'{"oid": "sha256:0", "size": 3}\n']
    others += [b"\xff\xfe\x00" * 9, (64).to_bytes(8, "little") + b'{"__metadata__":{}}', draw.randbytes(200_000)]
    for content in others:
        trial = Trial(answer, content, given=f"content={describe(content)}, which is no pointer")
        trial.equal(trial.result, None, "None was expected, but got {got}")


def unfilled(card, titles, ends: str = "##? ", empty: str = r"\s*|#.*", absent: bool = True) -> list[str]:
    """The gaps, by cutting the card before its headings; the options are ways of getting it wrong."""
    parts = [part.split("\n") for part in re.split(rf"(?m)^(?={ends})", card)]
    sections = {head[3:]: lines for head, *lines in parts if head.startswith("## ")}
    default = [] if absent else ["text"]
    return [title for title in titles if all(re.fullmatch(empty, line) for line in sections.get(title, default))]


@exercise(
    "13.5",
    mistakes=[
        (
            "A section can be there and empty: it may hold only blank lines and headings.",
            lambda card, titles: [title for title in titles if f"## {title}" not in card.split("\n")],
        ),
        ("A heading is no text.", partial(unfilled, empty=r"\s*")),
        ("A line of blanks is no text.", partial(unfilled, empty="|#.*")),
        ("A line that begins with '# ' ends a section, too.", partial(unfilled, ends="## ")),
        ("Lines that begin with '### ' belong to the section.", partial(unfilled, ends="#+ ")),
        ("A section that is missing is a gap, too.", partial(unfilled, absent=False)),
    ],
)
def gaps(answer):
    draw = random.Random(5)
    cases = [
        ("# M\n## Uses\n\n## Data\nTexts.\n", ["Uses", "Data", "Bias"], ["Uses", "Bias"]),
        ("", ["Uses"], ["Uses"]),
        ("## Uses\nFor practice.", ["Uses"], []),
        ("## Uses\n### Direct\nFor practice.\n", ["Uses"], []),
        ("## Data\n## Uses\n### Direct\n\n### Other\n", ["Uses", "Data"], ["Uses", "Data"]),
        ("## Uses\n   \n\t\n## Data\n", ["Data", "Uses"], ["Data", "Uses"]),
        ("## Data\n## Uses\n# Another title\nIts text.\n", ["Uses", "Data"], ["Uses", "Data"]),
        ("Uses\n## Data\nUses of data.\n", ["Uses", "Data"], ["Uses"]),
        ("## Users\nMany.\n", ["Uses"], ["Uses"]),
        ("---\nlicense: mit\n---\n# M\n## Uses\n- one\n## How to use\n`x`\n", ["How to use", "Data", "Uses"], ["Data"]),
        ("## Data\nTexts.\n", [], []),
    ]
    titles = ["Uses", "Data", "Bias", "Results"]
    for _ in range(30):
        heads = [f"## {title}" for title in draw.sample(titles, draw.randint(0, 4))]
        lines = [line for head in heads for line in (head, *draw.choices(["", "Text.", "### Part", "# Top"], k=2))]
        card, asked = "\n".join(lines), draw.sample(titles, draw.randint(1, 4))
        cases.append((card, asked, unfilled(card, asked)))
    for card, asked, expected in cases:
        trial = Trial(answer, card, asked)
        got = trial.returns(list, "a list of titles", of=str)
        trial.equal(
            got,
            expected,
            "your list {got} is not that of the gaps",
            ("List each title once, in the order of titles.", set(got) == set(expected)),
            (f"Look at {[one for one in asked if (one in got) != (one in expected)][:1]}.", set(got) <= set(asked)),
        )


class SharedFile:
    """A file with a history in memory. Somebody else adds a line just before the calls whose numbers are in `busy`."""

    def __init__(self, busy=(), status: int | None = None):
        self.texts, self.mine, self.busy, self.status = ["first\n"], [], busy, status
        self.calls = self.tries = 0

    def call(self) -> None:
        self.calls += 1
        if self.calls in self.busy:
            self.texts.append(f"{self.texts[-1]}other {self.calls}\n")

    def head(self) -> str:
        self.call()
        return f"c{len(self.texts) - 1}"

    def read(self, commit: str) -> str:
        self.call()
        return self.texts[int(commit[1:])]

    def commit(self, text: str, parent: str) -> str:
        from huggingface_hub.errors import HfHubHTTPError

        self.call()
        self.tries += 1
        # a loop that swallows every error would never end: after fifty tries it gets through, and the count is judged
        if self.tries <= 50 and (self.status or parent != f"c{len(self.texts) - 1}"):
            response = SimpleNamespace(status_code=self.status or 412, headers={}, request=None)
            raise HfHubHTTPError(f"{response.status_code} from the Hub", response=response)
        self.texts.append(text)
        self.mine.append(f"c{len(self.texts) - 1}")
        return self.mine[-1]


def nothing_is_lost(trial: Trial, shared: SharedFile) -> None:
    trial.expect(shared.mine, "you made no commit")
    trial.expect(shared.tries <= 50, "you tried more than fifty times", "Ask for head() anew in each try.")
    place = int(shared.mine[0][1:])
    before, text, count = shared.texts[place - 1], shared.texts[place], shared.texts[-1].splitlines().count("mine")
    trial.expect(
        {*before.splitlines()} <= {*text.splitlines()},
        "a line of somebody else is gone",
        "The text that you commit has to come from the very commit that you name as its parent.",
    )
    trial.expect(
        count == 1,
        f"your line is there {count} times; once was expected",
        "After a 412, begin with the text that you read, not with the one that you tried.",
    )
    trial.expect(text == before + "mine\n", f"your line should be the last one and end with a line break: {text!r}")
    trial.equal(trial.result, shared.mine[0], "the id of your commit was expected, but got {got}")


def outcome(answer, *inputs):
    """(what the answer returned, None), or (None, the error that came out of it)."""
    try:
        return answer(*inputs), None
    except Exception as error:  # the judge looks at it
        return None, error


@exercise("13.6")
def add_line(answer):
    # a try is three calls: head, read, commit. Others are busy before each of them, in later tries, and afterwards
    for busy in ((), (3,), (2,), (3, 6), (2, 5, 8), (4,), (3, 4, 7)):
        shared = SharedFile(busy)
        others = f"others who add a line before your call {' and '.join(map(str, busy))}" if busy else "nobody else"
        nothing_is_lost(Trial(answer, shared, "mine", given=others), shared)
    shared = SharedFile()
    trial = Trial(answer, shared, "first", given="a line that somebody else has written already")
    trial.equal(trial.result, "c1", "the id of your commit was expected, but got {got}")
    trial.expect(shared.texts[-1].count("first") == 2, "your line should be there beside theirs")
    for status in (403, 404, 500):
        shared = SharedFile(status=status)
        trial = Trial(partial(outcome, answer), shared, "mine", given=f"a Hub that answers {status}")
        result, error = trial.result
        trial.expect(shared.tries <= 1, f"you tried {shared.tries} times", "Trying again helps only after a 412.")
        trial.expect(
            error is not None,
            f"your function returned {describe(result)}",
            "Only 412 means that somebody was faster: let every other error out.",
        )
        came = getattr(getattr(error, "response", None), "status_code", None)
        trial.expect(came == status, f"the same error should come out, but this one did: {type(error).__name__}")


def suited(models, task, licences, least, key=lambda one: (one["megabytes"], -one["accuracy"]), drop=(), more=()):
    """The ids of the models that fit, the best first; `drop` and `more` are ways of getting it wrong."""
    tests = {
        "task": lambda one: one["task"] == task,
        "licence": lambda one: one["licence"] in licences,
        "weights": lambda one: one["megabytes"] > 0,
        "measured": lambda one: one["accuracy"] is not None,
        "good": lambda one: one["accuracy"] >= least,
    }
    kept = [test for name, test in tests.items() if name not in drop]
    return [one["id"] for one in sorted([one for one in models if all(test(one) for test in [*kept, *more])], key=key)]


def picked(*given, **options) -> str | None:
    return next(iter(suited(*given, **options)), None)


@exercise(
    "13.7",
    mistakes=[
        ("It has another task.", partial(picked, drop=["task"])),
        ("Its licence is not one of these.", partial(picked, drop=["licence"])),
        ("A size of 0 means no weights: it is not a candidate.", partial(picked, drop=["weights"])),
        ("It is not accurate enough.", partial(picked, drop=["good"])),
        ("The smallest is asked for, not the most accurate.", partial(picked, key=lambda one: -one["accuracy"])),
        ("The smallest is asked for, not the largest.", partial(picked, key=lambda one: -one["megabytes"])),
        ("The smallest is asked for, not the first that fits.", partial(picked, key=lambda one: 0)),
        ("Of two of the same size, take the more accurate one.", partial(picked, key=lambda one: one["megabytes"])),
        (
            "An accuracy of exactly `least` is enough.",
            lambda *given: picked(*given, more=[lambda one: one["accuracy"] > given[3]]),
        ),
        (
            "An accuracy of None is no measurement, not even one of 0.0.",
            lambda models, *given: picked([one | {"accuracy": one["accuracy"] or 0.0} for one in models], *given),
        ),
        ("An accuracy of 0.0 is a measurement, too.", partial(picked, more=[lambda one: one["accuracy"]])),
    ],
)
def choose(answer):
    def model(name, megabytes=10.0, accuracy=0.9, task="fill-mask", licence="mit"):
        return {"id": name, "task": task, "licence": licence, "megabytes": megabytes, "accuracy": accuracy}

    draw, allowed = random.Random(7), ["mit", "apache-2.0"]
    others = [model("first", 30.0, 0.93), model("worse", 10.0, 0.91), model("better", 10.0, 0.95)]
    others += [model("large", 90.0, 0.92), model("accurate", 40.0, 0.99)]
    unfit = [model("other", 1.0, task="translation"), model("closed", 2.0, licence="cc-by-nc-4.0"), model("stub", 0.0)]
    unfit += [model("weak", 3.0, 0.4), model("unmeasured", 4.0, None)]
    cases = [([*others, *unfit], 0.5), ([*others, model("exact", 1.0, 0.9)], 0.9), ([], 0.0), (unfit, 0.5)]
    cases += [([*others, model("zero", 1.0, 0.0)], 0.0), ([*others, model("unmeasured", 1.0, None)], 0.0)]
    for _ in range(40):
        tasks, licences = ["fill-mask", "translation"], [*allowed, "other"]
        drawn = [
            (draw.choice([0.0, 5.0, 10.0]), draw.choice([None, draw.random()]), draw.choice(tasks)) for _ in "8" * 8
        ]
        cases.append(
            ([model(f"m{place}", *one, draw.choice(licences)) for place, one in enumerate(drawn)], draw.random())
        )
    for models, least in cases:
        trial = Trial(answer, models, "fill-mask", allowed, least)
        got = trial.returns((str, type(None)), "an id or None")
        fitting = suited(models, "fill-mask", allowed, least)
        trial.equal(
            got,
            picked(*trial.inputs),
            "your choice {got} is not the smallest that fits",
            ("Nothing fits.", not fitting),
            ("This one does not fit.", got is not None and got not in fitting),
        )

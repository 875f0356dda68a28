"""Judges and hints of chapter 13, Sharing on a Hub."""

import hashlib
import itertools
import random
import string

from labs_utils.exercises.core import call, describe, exercise, expect


@exercise("13.1")
def file_url(answer):
    from huggingface_hub import hf_hub_url

    cases = [
        ("http://127.0.0.1:8000", "ada/cats", "config.json", "main", "model"),
        ("http://hub", "ada/cats", "sub/a.txt", "refs/pr/3", "dataset"),
        ("https://huggingface.co", "ada/app", "a folder/my file.py", "feature/x y", "space"),
    ]
    draw = random.Random(13)
    for _ in range(20):
        names = ["".join(draw.choices(string.ascii_lowercase + "-_", k=5)).strip("-_") or "a" for _ in range(5)]
        cases.append(
            (
                "http://localhost:7",
                f"{names[0]}/{names[1]}",
                "/".join(names[2 : 2 + draw.randint(1, 3)]),
                draw.choice(["main", "v1.0", f"refs/pr/{draw.randint(1, 99)}", f"{names[3]}/{names[4]}", "0" * 40]),
                draw.choice(["model", "dataset", "space"]),
            )
        )
    for endpoint, repo_id, path, revision, kind in cases:
        given = f"repo_id={repo_id!r}, path={path!r}, revision={revision!r}, repo_type={kind!r}"
        got = call(answer, endpoint, repo_id, path, revision, kind, given=given)
        expect(isinstance(got, str), f"Given {given}, a string was expected, but got {describe(got)}.")
        wanted = hf_hub_url(repo_id, path, repo_type=kind, revision=revision, endpoint=endpoint)
        perhaps = ""
        front = {"model": "", "dataset": "datasets/", "space": "spaces/"}[kind]
        if not got.startswith(endpoint + "/"):
            perhaps = " An address begins with the endpoint, then a slash."
        elif not got.startswith(f"{endpoint}/{front}{repo_id}/"):
            perhaps = (
                f" For the type {kind!r}, look at what stands in front of the name: 'datasets/', 'spaces/' or nothing."
            )
        elif "/resolve/" not in got:
            perhaps = " The word 'resolve' stands between the name and the revision."
        elif f"/resolve/{revision}/" in got and "/" in revision:
            perhaps = " A '/' in the revision has to be written %2F."
        elif "/" in path and got.endswith(path.replace("/", "%2F")):
            perhaps = " In the path a '/' stays as it is."
        elif " " in got:
            perhaps = " A blank has to be written %20."
        expect(got == wanted, f"Given {given}, your address {got!r} is not the library's.{perhaps}")


@exercise("13.2")
def wanted(answer):
    from huggingface_hub.utils import filter_repo_objects

    files = [
        "README.md",
        "config.json",
        "model.safetensors",
        "onnx/config.json",
        "onnx/model.onnx",
        "a/b/c.bin",
        "onnx.txt",
    ]
    cases = [
        (["a.json", "b.bin", "onnx/c.json"], ["*.json"], ["onnx/"]),
        (files, None, None),
        (files, ["*.json"], None),
        (files, None, ["*.bin", "*.onnx"]),
        (files, [], None),
        (files, None, []),
        (files, ["onnx/"], None),
        (files, ["*.json", "*.md"], ["onnx/*"]),
        (files[::-1], ["*.json", "config.*"], None),
        ([], ["*"], None),
    ]
    patterns = ["*.json", "*.md", "onnx/", "a/", "*", "config.json", "*/*", "[Rc]*", "?????.txt"]
    draw = random.Random(2)
    for _ in range(60):
        allow, ignore = (draw.choice([None, draw.sample(patterns, draw.randint(0, 3))]) for _ in range(2))
        cases.append((draw.sample(files, draw.randint(1, 7)), allow, ignore))
    for paths, allow, ignore in cases:
        given = f"files={paths}, allow={allow}, ignore={ignore}"
        copies = [list(one) if one is not None else None for one in (paths, allow, ignore)]
        got = call(answer, *copies, given=given)
        kind = isinstance(got, list | tuple)
        expect(kind, f"Given {given}, a list of paths was expected, but got {describe(got)}.")
        expect(
            copies == [paths, allow, ignore],
            f"Given {given}, your function changed one of the lists it was given. Make a new one.",
        )
        right = list(filter_repo_objects(paths, allow_patterns=allow, ignore_patterns=ignore))
        more, less = [path for path in got if path not in right], [path for path in right if path not in got]
        perhaps = ""
        if allow == [] and more:
            perhaps = " An empty list is a rule: no pattern, so nothing matches. Only None means no rule."
        elif ignore is None and allow is None and less:
            perhaps = " None means no rule: everything comes."
        elif more and ignore:
            perhaps = (
                f" {more[0]!r} matches a pattern of ignore, or none of allow. A pattern that ends with '/' means all "
                "that is in the folder."
            )
        elif less:
            perhaps = f" {less[0]!r} should come. One matching pattern of allow is enough, and '*' goes across '/'."
        elif more:
            perhaps = f" {more[0]!r} should not come."
        elif len(got) != len(right):
            perhaps = " A file comes once, however many patterns it matches."
        elif list(got) != right:
            perhaps = " Keep the order of files."
        expect(
            list(got) == right,
            f"Given {given}, you chose {list(got)}, but that is not what a download brings.{perhaps}",
        )


@exercise("13.3")
def blob_name(answer):
    from huggingface_hub.utils.sha import git_hash

    draw = random.Random(3)
    contents = [
        b"hello\n",
        b"",
        b"\0\xff",
        "ünïcode".encode(),
        *(draw.randbytes(size) for size in (1, 10, 1000, 70_000)),
    ]
    for content, lfs in itertools.product(contents, (False, True)):
        given = f"a content of {len(content)} bytes and lfs={lfs}"
        got = call(answer, content, lfs, given=given)
        expect(
            isinstance(got, str),
            f"Given {given}, a string was expected, but got {describe(got)}. hexdigest() gives a string.",
        )
        plain = hashlib.sha256(content).hexdigest()
        right = plain if lfs else git_hash(content)
        perhaps = ""
        if got == hashlib.sha1(content).hexdigest():
            perhaps = (
                " This is the sha1 of the content alone; Git puts a head in front of it."
                if not lfs
                else " LFS takes sha256."
            )
        elif not lfs and got == plain:
            perhaps = " This is the sha256. A file that is not LFS carries Git's sha1."
        elif lfs and len(got) == 64:
            perhaps = " For LFS the content is hashed as it is, without a head."
        elif got.lower() == right:
            perhaps = " Hashes are written with small letters."
        elif not lfs and len(got) == 40:
            perhaps = " Look at the head: the number of bytes (not characters), one zero byte, then the content."
        expect(got == right, f"Given {given}, your name {got[:12]!r}… is not the blob's.{perhaps}")


@exercise("13.4")
def read_pointer(answer):
    draw = random.Random(4)
    head = "version https://git-lfs.github.com/spec/v1\n"
    for _ in range(12):
        oid, size = f"{draw.getrandbits(256):064x}", draw.randint(0, 10**11)
        content = f"{head}oid sha256:{oid}\nsize {size}\n".encode()
        given = f"the pointer {content.decode()!r}"
        got = call(answer, content, given=given)
        pair = isinstance(got, tuple | list) and len(got) == 2
        expect(pair, f"Given {given}, a pair of the sha256 and the size was expected, but got {describe(got)}.")
        perhaps = " Leave out the word 'sha256:'." if str(got[0]).startswith("sha256:") else ""
        expect(got[0] == oid, f"Given {given}, the first of your pair, {describe(got[0])}, is not the sha256.{perhaps}")
        number = isinstance(got[1], int) and not isinstance(got[1], bool)
        expect(number, f"Given {given}, the size should be an int, but got {describe(got[1])}.")
        expect(got[1] == size, f"Given {given}, your size {got[1]} is not the one that it names.")
    others = {
        "an empty file": b"",
        "the text b'hello\\n'": b"hello\n",
        "bytes that are no text": b"\xff\xfe\x00\x80" * 10,
        "a safetensors file": (64).to_bytes(8, "little") + b'{"__metadata__":{}}',
        "a text that speaks of pointers: b'See version https://git-lfs.github.com/spec/v1\\n'": b"See " + head.encode(),
        "a large file": draw.randbytes(200_000),
        "a JSON file": b'{"oid": "sha256:0", "size": 3}\n',
    }
    for name, content in others.items():
        got = call(answer, content, given=f"{name}, which is no pointer")
        expect(
            got is None,
            f"Given {name}, which is no pointer, None was expected, but got {describe(got)}. A pointer begins with its "
            "version line.",
        )


@exercise("13.5")
def gaps(answer):
    cases = [
        ("# M\n## Uses\n\n## Data\nTexts.\n", ["Uses", "Data", "Bias"], ["Uses", "Bias"]),
        ("", ["Uses"], ["Uses"]),
        ("## Uses\nFor practice.", ["Uses"], []),
        ("## Uses\n### Direct\nFor practice.\n", ["Uses"], []),
        ("## Uses\n### Direct\n\n### Other\n", ["Uses"], ["Uses"]),
        ("## Uses\n   \n\t\n## Data\n", ["Data", "Uses"], ["Data", "Uses"]),
        ("## Uses\n# Another title\nText of the title.\n", ["Uses"], ["Uses"]),
        ("Uses\n## Data\nUses of data.\n", ["Uses", "Data"], ["Uses"]),
        ("## Users\nMany.\n", ["Uses"], ["Uses"]),
        (
            "---\nlicense: mit\n---\n# M\nA summary.\n## Uses\n- one\n## How to use\n`x`\n",
            ["Uses", "How to use", "Data"],
            ["Data"],
        ),
        ("## Data\nTexts.\n", [], []),
    ]
    draw = random.Random(5)
    titles = ["Uses", "Data", "Bias", "Results"]
    for _ in range(30):
        lines, filled, here = [], set(), None
        for _ in range(draw.randint(0, 12)):
            kind = draw.choice(["title", "text", "blank", "sub", "top"])
            if kind == "title":
                here = draw.choice(titles)
            elif kind == "top":
                here = None
            elif kind == "text":
                filled.add(here)
            lines.append(
                {"title": f"## {here}", "text": "Some text.", "blank": "", "sub": "### Part", "top": "# Top"}[kind]
            )
        asked = draw.sample(titles, draw.randint(1, 4))
        cases.append(("\n".join(lines), asked, [title for title in asked if title not in filled]))
    for card, asked, right in cases:
        given = f"the card {card!r} and the titles {asked}"
        got = call(answer, card, list(asked), given=given)
        expect(isinstance(got, list | tuple), f"Given {given}, a list of titles was expected, but got {describe(got)}.")
        more, less = [one for one in got if one not in right], [one for one in right if one not in got]
        perhaps = ""
        if less and f"## {less[0]}\n" not in card + "\n":
            perhaps = f" There is no line '## {less[0]}': the section is missing."
        elif less:
            perhaps = (
                f" The section {less[0]!r} holds blank lines and headings only, or its text comes after the next '# ' "
                "or '## '."
            )
        elif more:
            perhaps = f" The section {more[0]!r} has text, perhaps below a '### ' heading, or at the very end."
        elif list(got) != right:
            perhaps = " List each title once, in the order of titles."
        expect(list(got) == right, f"Given {given}, you list {list(got)}, which are not the gaps.{perhaps}")


def _refusal(status: int):
    """The client's own error for a status, as a Hub's answer makes it."""
    import inspect

    from huggingface_hub.errors import HfHubHTTPError

    class Response:
        def __init__(self):
            self.status_code, self.headers, self.request, self.text = status, {}, None, ""

    options = {"response": Response()} if "response" in inspect.signature(HfHubHTTPError.__init__).parameters else {}
    error = HfHubHTTPError(f"{status} from the Hub", **options)
    error.response = Response()
    return error


class _Repository:
    """A file with a history in memory. `others` add a line just before each of your first commits."""

    def __init__(self, text: str, others: list[str], broken: int | None = None):
        self.texts, self.others, self.broken = {"c0": text}, list(others), broken
        self.newest, self.tries, self.mine = "c0", 0, []

    def _add(self, text: str) -> str:
        self.newest = f"c{len(self.texts)}"
        self.texts[self.newest] = text
        return self.newest

    def head(self) -> str:
        return self.newest

    def read(self, commit: str) -> str:
        return self.texts[commit]

    def commit(self, text: str, parent: str) -> str:
        self.tries += 1
        if self.tries > 50:  # a loop that swallows every exception would never end: let it through, and judge the count
            return self.newest
        if self.broken:
            raise _refusal(self.broken)
        if self.others:
            self._add(self.texts[self.newest] + self.others.pop(0) + "\n")
        if parent != self.newest:
            raise _refusal(412)
        self.mine.append(self._add(text))
        return self.newest


@exercise("13.6")
def add_line(answer):
    from huggingface_hub.errors import HfHubHTTPError

    for others in ([], ["theirs"], ["one", "two", "three"]):
        repository = _Repository("first\n", others)
        given = f"a file 'first\\n' and {len(others)} commits of others in between"
        got = call(answer, repository, "mine", given=given)
        text = repository.texts[repository.newest]
        lines = text.splitlines()
        lost = [line for line in ["first", *others] if line not in lines]
        expect(
            not lost,
            f"Given {given}, the line {lost[:1]} of somebody else is gone. Perhaps you committed an old text with a "
            "new parent: read again after a 412.",
        )
        expect(
            repository.tries <= 50,
            f"Given {given}, you tried more than fifty times. Ask for head() anew in each try.",
        )
        expect(
            lines.count("mine") == 1,
            f"Given {given}, your line is there {lines.count('mine')} times in {lines}; once was expected. After a "
            "412, begin with the text that you read, not with the one you tried.",
        )
        expect(
            lines[-1] == "mine" and text.endswith("mine\n"),
            f"Given {given}, your line should be the last one and end with a line break; the file is {text!r}.",
        )
        expect(
            got == repository.mine[0], f"Given {given}, the id of your commit was expected, but got {describe(got)}."
        )
    for status in (403, 404, 401):
        repository = _Repository("first\n", [], broken=status)
        given = f"a Hub that answers {status}"
        got, error = None, None
        try:
            got = answer(repository, "mine")
        except Exception as caught:  # any error of the learner's code is judged below
            error = caught
        expect(
            repository.tries <= 1,
            f"Given {given}, you tried {repository.tries} times. Trying again helps only after a 412.",
        )
        expect(
            error is not None,
            f"Given {given}, your function returned {describe(got)}. Only 412 means that somebody was faster: let "
            "every other error out.",
        )
        expect(
            isinstance(error, HfHubHTTPError) and error.response.status_code == status,
            f"Given {given}, the same error should come out, but this one did: {type(error).__name__}: {error}.",
        )


@exercise("13.7")
def choose(answer):
    def model(name, megabytes=10.0, accuracy=0.9, task="fill-mask", licence="mit"):
        return {"id": name, "task": task, "licence": licence, "megabytes": megabytes, "accuracy": accuracy}

    named = [
        ("two sizes", [model("large", 90), model("small", 10)], 0.5),
        ("one that is more accurate and larger", [model("large", 90, 0.99), model("small", 10, 0.8)], 0.5),
        ("the same size twice", [model("worse", 10, 0.8), model("better", 10, 0.9)], 0.5),
        ("another task", [model("other", 1, task="translation"), model("right", 10)], 0.5),
        ("a licence that is not allowed", [model("closed", 1, licence="cc-by-nc-4.0"), model("open", 10)], 0.5),
        ("a model without weights", [model("stub", 0), model("whole", 10)], 0.5),
        ("a model without a measurement", [model("unmeasured", 1, None), model("measured", 10)], 0.5),
        ("an accuracy of exactly the least", [model("exact", 1, 0.9), model("more", 10, 0.95)], 0.9),
        ("only models that are not good enough", [model("weak", 1, 0.4)], 0.5),
        ("no models", [], 0.0),
        ("an accuracy of 0.0 where 0.0 is enough", [model("zero", 1, 0.0), model("more", 10)], 0.0),
    ]
    draw = random.Random(7)
    for _ in range(60):
        many = [
            model(f"m{place}", draw.choice([0, 5, 10, 20]), draw.choice([None, draw.random()]),
                  draw.choice(["fill-mask", "translation"]), draw.choice(["mit", "apache-2.0", "other"]))
            for place in range(draw.randint(1, 8))
        ]  # fmt: skip
        named.append((f"{len(many)} random models", many, draw.random()))
    allowed = ["mit", "apache-2.0"]
    for name, models, least in named:
        fits = [
            one
            for one in models
            if one["task"] == "fill-mask" and one["licence"] in allowed and one["megabytes"]
            and one["accuracy"] is not None and one["accuracy"] >= least
        ]  # fmt: skip
        right = min(fits, key=lambda one: (one["megabytes"], -one["accuracy"]))["id"] if fits else None
        copies = [dict(one) for one in models]
        given = f"{name}, task='fill-mask', licences={allowed}, least={least:.2g}"
        got = call(answer, copies, "fill-mask", list(allowed), least, given=given)
        expect(copies == models, f"Given {given}, your function changed the list that it was given. Make a new one.")
        kind = got is None or isinstance(got, str)
        expect(kind, f"Given {given}, an id or None was expected, but got {describe(got)}.")
        perhaps = " Nothing fits." if right is None else ""
        chosen = next((one for one in models if one["id"] == got), None)
        if chosen is not None and chosen not in fits:
            perhaps = " This one does not fit. Check the task, the licence, the weights and the accuracy."
        elif chosen is not None and right is not None:
            perhaps = " A smaller one fits too; of two of the same size, the more accurate one is wanted."
        elif right is not None:
            perhaps = " There is a model that fits."
        expect(got == right, f"Given {given}, your choice {got!r} is not the smallest that fits.{perhaps}")

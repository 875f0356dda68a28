"""Chapter 13: what learners get wrong, and what they are told."""

import hashlib
from fnmatch import fnmatchcase
from urllib.parse import quote

from huggingface_hub.errors import HfHubHTTPError

_FRONT = {"model": "", "dataset": "datasets/", "space": "spaces/"}


def _url(endpoint, repo_id, path, revision, repo_type, front=None, safe="", path_safe="/", word="resolve"):
    front = _FRONT if front is None else front
    revision = quote(revision, safe=safe)
    return f"{endpoint}/{front.get(repo_type, '')}{repo_id}/{word}/{revision}/{quote(path, safe=path_safe)}"


def _wanted(files, allow, ignore, folders=True, every=False, empty_is_none=False):
    def matches(path, patterns):
        whole = [one + "*" if folders and one.endswith("/") else one for one in patterns]
        return (all if every else any)(fnmatchcase(path, one) for one in whole)

    if empty_is_none:
        allow, ignore = allow or None, ignore or None
    chosen = [path for path in files if allow is None or matches(path, allow)]
    return [path for path in chosen if ignore is None or not matches(path, ignore)]


def _wanted_per_pattern(files, allow, ignore):
    return [
        path
        for one in ([*allow] if allow is not None else ["*"])
        for path in files
        if fnmatchcase(path, one + "*" if one.endswith("/") else one)
        and not any(fnmatchcase(path, no + "*" if no.endswith("/") else no) for no in ignore or [])
    ]


def _blob(content, lfs, head=b"blob %d\0"):
    if lfs:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(head % len(content) + content).hexdigest()


def _pointer_anywhere(content):
    start = content.find(b"version https://git-lfs.github.com/spec/v1")
    return _pointer(content[start:]) if start >= 0 else None


def _pointer(content, keep=False, number=int):
    if not content.startswith(b"version https://git-lfs"):
        return None
    lines = content.decode().splitlines()
    oid = lines[1].split(" ")[1] if len(lines) > 1 else ""
    size = lines[2].split(" ")[1] if len(lines) > 2 else 0
    return (oid if keep else oid.removeprefix("sha256:")), number(size)


def _pointer_decodes(content):
    return _pointer(content) if content.decode().startswith("version") else None


def _gaps_missing_only(card, titles):
    return [title for title in titles if f"## {title}" not in card.splitlines()]


def _gaps_by_substring(card, titles):
    return [title for title in titles if f"## {title}" not in card]


def _gaps(card, titles, level_two_only=False, headings_count=False):
    filled, current = set(), None
    for line in card.splitlines():
        if line.startswith("## "):
            current = line[3:].strip()
        elif line.startswith("# ") and not level_two_only:
            current = None
        elif line.strip() and (headings_count or not line.startswith("#")):
            filled.add(current)
    return [title for title in titles if title not in filled]


def _no_retry(repository, line):
    parent = repository.head()
    return repository.commit(repository.read(parent) + line + "\n", parent)


def _retry(repository, line, once=False, every_error=False, end="\n", keep_text=False, returns_parent=False):
    text = None
    while True:
        parent = repository.head()
        if text is None or not keep_text:
            text = repository.read(parent) + line + end
        try:
            oid = repository.commit(text, parent)
            return parent if returns_parent else oid
        except HfHubHTTPError as error:
            if not every_error and error.response.status_code != 412:
                raise


def _adds_to_what_it_tried(repository, line):
    text = repository.read(repository.head())
    while True:
        parent = repository.head()
        new = [one for one in repository.read(parent).splitlines() if one not in text.splitlines()]
        text += "".join(one + "\n" for one in new) + line + "\n"
        try:
            return repository.commit(text, parent)
        except HfHubHTTPError as error:
            if error.response.status_code != 412:
                raise


def _swallows(repository, line):
    try:
        return _retry(repository, line)
    except HfHubHTTPError:
        return None


def _other_error(repository, line):
    try:
        return _retry(repository, line)
    except HfHubHTTPError as error:
        raise RuntimeError("it did not work") from error


def _choose(models, task, licences, least, key=None, stubs=False, truthy=False, strict=False, largest=False):
    fits = [
        one
        for one in models
        if one["task"] == task
        and one["licence"] in licences
        and (stubs or one["megabytes"] > 0)
        and (one["accuracy"] if truthy else one["accuracy"] is not None)
        and (one["accuracy"] > least if strict else one["accuracy"] >= least)
    ]
    fits.sort(key=key or (lambda one: (one["megabytes"], -one["accuracy"])))
    return fits[0]["id"] if fits else None


def _choose_in_place(models, task, licences, least):
    models.sort(key=lambda one: one["megabytes"])
    return _choose(models, task, licences, least)


WRONG = {
    "13.1": [
        (lambda e, n, p, r, t: _url(e, n, p, r, t, front={}), "in front of the name"),
        (lambda e, n, p, r, t: _url(e, n, p, r, t, safe="/"), "written %2F"),
        (lambda e, n, p, r, t: _url(e, n, p, r, t, path_safe=""), "In the path a '/' stays"),
        (lambda e, n, p, r, t: _url(e, n, p, r, t, word="blob"), "The word 'resolve'"),
        (lambda e, n, p, r, t: _url(e, n, p, r, t).replace("%20", " "), "written %20"),
        (lambda e, n, p, r, t: _url(e, n, p, r, t).removeprefix(e), "begins with the endpoint"),
        (lambda e, n, p, r, t: [e, n, p], "a string was expected"),
    ],
    "13.2": [
        (lambda f, a, i: _wanted(f, a, i, folders=False), "all that is in the folder"),
        (lambda f, a, i: _wanted(f, a, i, every=True), "matches a pattern of ignore"),
        (lambda f, a, i: _wanted(f, a, i, empty_is_none=True), "An empty list is a rule"),
        (_wanted_per_pattern, "Keep the order"),
        (lambda f, a, i: sorted(_wanted(f, a, i)), "Keep the order"),
        (lambda f, a, i: set(_wanted(f, a, i)), "a list of paths was expected"),
        (lambda f, a, i: _wanted(f, a or [], i), "None means no rule"),
    ],
    "13.3": [
        (lambda content, lfs: _blob(content, lfs, b"%.0d"), "not the blob's"),
        (
            lambda content, lfs: (hashlib.sha256 if lfs else hashlib.sha1)(content).hexdigest(),
            "sha1 of the content alone",
        ),
        (lambda content, lfs: hashlib.sha256(content).hexdigest(), "carries Git's sha1"),
        (lambda content, lfs: _blob(content, False), "not the blob's"),
        (lambda content, lfs: hashlib.sha256(b"blob %d\0" % len(content) + content).hexdigest(), "not the blob's"),
        (lambda content, lfs: _blob(content, lfs, b"blob %d"), "one zero byte"),
        (lambda content, lfs: _blob(content, lfs).upper(), "small letters"),
        (lambda content, lfs: hashlib.sha256(content).digest(), "hexdigest() gives a string"),
    ],
    "13.4": [
        (lambda content: _pointer(content, keep=True), "Leave out the word"),
        (lambda content: _pointer(content, number=str), "should be an int"),
        (_pointer_anywhere, "begins with its"),
        (_pointer_decodes, "UnicodeDecodeError"),
        (lambda content: _pointer(content) or ("", 0), "None was expected"),
        (lambda content: _pointer(content) is not None, "a pair of the sha256 and the size"),
    ],
    "13.5": [
        (_gaps_missing_only, "blank lines and headings only"),
        (_gaps_by_substring, "blank lines and headings only"),
        (lambda card, titles: _gaps(card, titles, headings_count=True), "blank lines and headings only"),
        (lambda card, titles: _gaps(card, titles, level_two_only=True), "after the next '# '"),
        (lambda card, titles: sorted(_gaps(card, titles)), "in the order of titles"),
        (lambda card, titles: set(_gaps(card, titles)), "a list of titles was expected"),
        (lambda card, titles: [one for one in _gaps(card, titles) if one in card], "the section is missing"),
    ],
    "13.6": [
        (_no_retry, "412 from the Hub"),
        (lambda repository, line: _retry(repository, line, every_error=True), "helps only after a 412"),
        (lambda repository, line: _retry(repository, line, end=""), "end with a line break"),
        (lambda repository, line: _retry(repository, line, keep_text=True), "of somebody else is gone"),
        (lambda repository, line: _retry(repository, line, returns_parent=True), "the id of your commit"),
        (_adds_to_what_it_tried, "once was expected"),
        (_swallows, "let every other error out"),
        (_other_error, "the same error should come out"),
    ],
    "13.7": [
        (lambda m, t, x, least: _choose(m, t, x, least, key=lambda one: -one["accuracy"]), "A smaller one fits"),
        (lambda m, t, x, least: _choose(m, t, x, least, key=lambda one: one["megabytes"]), "the more accurate one"),
        (lambda m, t, x, least: _choose(m, t, x, least, stubs=True), "This one does not fit"),
        (lambda m, t, x, least: _choose(m, t, x, least, strict=True), "not the smallest"),
        (lambda m, t, x, least: _choose(m, t, x, least, truthy=True), "not the smallest"),
        (lambda m, t, x, least: _choose(m, t, [*x, "cc-by-nc-4.0"], least), "This one does not fit"),
        (_choose_in_place, "changed the list"),
        (lambda m, t, x, least: _choose(m, t, x, least) or "none", "Nothing fits"),
        (lambda m, t, x, least: m, "an id or None"),
    ],
}

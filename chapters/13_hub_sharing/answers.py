"""Chapter 13: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

import fnmatch
import hashlib
import re
from urllib.parse import quote, urljoin

from huggingface_hub.errors import HfHubHTTPError


def address_by_parts(endpoint, repo_id, path, revision="main", repo_type="model"):
    parts = [] if repo_type == "model" else [repo_type + "s"]
    parts += [repo_id, "resolve", revision.replace("/", "%2F"), path.replace(" ", "%20")]
    return "/".join([endpoint, *parts])


def address_by_urljoin(endpoint, repo_id, path, revision="main", repo_type="model"):
    front = "datasets/" if repo_type == "dataset" else "spaces/" if repo_type == "space" else ""
    folder = urljoin(endpoint + "/", f"{front}{repo_id}/resolve/{quote(revision, safe='')}/")
    return folder + "/".join(quote(part) for part in path.split("/"))


def wanted_by_loop(files, allow, ignore):
    found = []
    for path in files:
        allowed, ignored = allow is None, False
        for pattern in allow or []:
            if fnmatch.fnmatchcase(path, pattern) or (pattern[-1] == "/" and path.startswith(pattern)):
                allowed = True
        for pattern in ignore or []:
            if fnmatch.fnmatchcase(path, pattern) or (pattern[-1] == "/" and path.startswith(pattern)):
                ignored = True
        if allowed and not ignored:
            found.append(path)
    return found


def wanted_by_sets(files, allow, ignore):
    def hits(patterns):
        found = set()
        for pattern in patterns:
            whole = pattern + "*" if pattern.endswith("/") else pattern
            found |= {path for path in files if re.match(fnmatch.translate(whole), path)}
        return found

    chosen = set(files) if allow is None else hits(allow)
    chosen -= set() if ignore is None else hits(ignore)
    return tuple(path for path in files if path in chosen)


def wanted_whatever_the_case(files, allow, ignore):
    small = [rule if rule is None else [pattern.lower() for pattern in rule] for rule in (allow, ignore)]
    kept = wanted_by_loop([path.lower() for path in files], *small)
    return [path for path in files if path.lower() in kept]


def wanted_per_pattern(files, allow, ignore):
    return [
        path for pattern in (["*"] if allow is None else allow) for path in wanted_by_loop(files, [pattern], ignore)
    ]


def wanted_in_place(files, allow, ignore):
    kept = wanted_by_loop(files, allow, ignore)
    files[:] = kept
    return files


def blob_step_by_step(content, lfs):
    digest = hashlib.new("sha256" if lfs else "sha1")
    if not lfs:
        digest.update(f"blob {len(content)}".encode() + bytes([0]))
    digest.update(content)
    return "".join(f"{byte:02x}" for byte in digest.digest())


def blob_from_a_table(content, lfs):
    name, head = {True: ("sha256", ""), False: ("sha1", f"blob {len(content)}\0")}[bool(lfs)]
    return getattr(hashlib, name)(head.encode("ascii") + content).hexdigest()


def pointer_by_pattern(content):
    found = re.match(rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d+)", content)
    return found and (found[1].decode(), int(found[2]))


def pointer_by_lines(content):
    first, *rest = content.split(b"\n")
    if first != b"version https://git-lfs.github.com/spec/v1":
        return None
    return [rest[0].decode().split(":")[1], int(rest[1].split()[1])]


def pointer_by_its_first_word(content):
    if not content.startswith(b"version"):
        return None
    lines = content.decode().splitlines()
    return lines[1].partition("sha256:")[2], int(lines[2].partition(" ")[2])


def pointer_by_a_prefix(content):
    if not content.startswith(b"version https://git-lfs.github.com/spec/v1"):
        return None
    lines = content.split(b"\n")
    return (lines[1].decode().partition("sha256:")[2], int(lines[2].split()[1])) if len(lines) > 2 else None


def pointer_by_a_part(content):
    if b"oid sha256" not in content:
        return None
    fields = dict(line.split(" ", 1) for line in content.decode().splitlines())
    return fields["oid"].removeprefix("sha256:"), int(fields["size"])


def gaps_by_pattern(card, titles):
    def has_text(title):
        found = re.search(rf"^## {re.escape(title)}$\n?((?:(?!##? ).*\n?)*)", card, flags=re.M)
        lines = found[1].splitlines() if found else []
        return any(line.strip() and not re.match("#+ ", line) for line in lines)

    return tuple(title for title in titles if not has_text(title))


def gaps_with_a_dict(card, titles):
    sections, current = dict.fromkeys(titles, ""), None
    for line in card.split("\n"):
        if line[:2] == "# " or line[:3] == "## ":
            current = line.removeprefix("## ")
        elif current in sections and not line.startswith("### "):
            sections[current] += line.strip()
    return [title for title, text in sections.items() if text == ""]


def add_recursively(repository, line):
    parent = repository.head()
    try:
        return repository.commit(f"{repository.read(parent)}{line}\n", parent)
    except HfHubHTTPError as error:
        if error.response.status_code == 412:
            return add_recursively(repository, line)
        raise


def add_with_a_second_look(repository, line):
    for _ in range(20):
        old = repository.head()
        text = repository.read(repository.head())  # newer than `old` at most: then the commit is refused
        try:
            commit = repository.commit(text + line + "\n", parent=old)
        except Exception as error:
            if getattr(getattr(error, "response", None), "status_code", None) != 412:
                raise error
        else:
            return commit
    raise TimeoutError("too many others")


def add(repository, line, once=False, every_error=False, end="\n", keep_text=False, newest=lambda oid, repository: oid):
    """The right answer; the options are ways of getting it wrong."""
    text = None
    while True:
        parent = repository.head()
        if text is None or not keep_text:
            text = repository.read(parent) + line + end
        try:
            return newest(repository.commit(text, parent), repository)
        except HfHubHTTPError as error:
            if once or not (every_error or error.response.status_code == 412):
                raise


def add_after_a_newer_head(repository, line):
    while True:
        text = repository.read(repository.head()) + line + "\n"
        parent = repository.head()
        try:
            return repository.commit(text, parent)
        except HfHubHTTPError as error:
            if error.response.status_code != 412:
                raise


def add_to_what_it_tried(repository, line):
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


def swallow(repository, line):
    try:
        return add(repository, line)
    except HfHubHTTPError:
        return None


def raise_another(repository, line):
    try:
        return add(repository, line)
    except HfHubHTTPError as error:
        raise RuntimeError("it did not work") from error


def add_if_it_is_new(repository, line):
    head = repository.head()
    return head if line in repository.read(head).splitlines() else add(repository, line)


def add_in_front(repository, line):
    parent = repository.head()
    return repository.commit(f"{line}\n{repository.read(parent)}", parent)


def choose_by_loop(models, task, licences, least):
    found = None
    for one in models:
        if one["task"] != task or one["licence"] not in licences or not one["megabytes"]:
            continue
        if one["accuracy"] is None or one["accuracy"] < least:
            continue
        rank = one["megabytes"], -one["accuracy"]
        if found is None or rank < found[0]:
            found = rank, one["id"]
    return found and found[1]


def choose_with_a_table(models, task, licences, least):
    import pandas

    columns = ["id", "task", "licence", "megabytes", "accuracy"]
    table = pandas.DataFrame(models, columns=columns).astype({"megabytes": float, "accuracy": float})
    fits = (table.task == task) & table.licence.isin(licences) & (table.megabytes > 0) & (table.accuracy >= least)
    best = table[fits].sort_values(["megabytes", "accuracy"], ascending=[True, False])
    return None if best.empty else best.id.iloc[0]


def choose_with_none_as_zero(models, task, licences, least):
    return choose_by_loop([one | {"accuracy": one["accuracy"] or 0} for one in models], task, licences, least)


def choose_in_place(models, task, licences, least):
    models.sort(key=lambda one: one["megabytes"])
    return choose_by_loop(models, task, licences, least)


RIGHT = {
    "13.1": [address_by_parts, address_by_urljoin],
    "13.2": [wanted_by_loop, wanted_by_sets],
    "13.3": [blob_step_by_step, blob_from_a_table],
    "13.4": [pointer_by_pattern, pointer_by_lines],
    "13.5": [gaps_by_pattern, gaps_with_a_dict],
    "13.6": [add_recursively, add_with_a_second_look],
    "13.7": [choose_by_loop, choose_with_a_table],
}

WRONG = {
    "13.1": [
        (lambda *given: address_by_parts(*given).replace("resolve", "blob"), "The word 'resolve'"),
        (lambda *given: address_by_parts(*given).replace("%20", "+"), "written %20"),
        (lambda *given: address_by_parts(*given).removeprefix(given[0]), "begins with the endpoint"),
        (lambda *given: address_by_parts(*given).replace("datasets", "dataset"), "in front of the name"),
        (lambda *given: [*given], "a string was expected"),
    ],
    "13.2": [
        (wanted_whatever_the_case, "Capital and small letters differ"),
        (wanted_per_pattern, "A file comes once"),
        (lambda files, allow, ignore: sorted(wanted_by_loop(files, allow, ignore)), "Keep the order"),
        (lambda files, allow, ignore: wanted_by_loop(files, allow, ignore) * 2, "A file comes once"),
        (lambda files, allow, ignore: wanted_by_loop(files, allow, ignore)[1:], "Look at"),
        (lambda files, allow, ignore: {*wanted_by_loop(files, allow, ignore)}, "a list of paths was expected"),
        (wanted_in_place, "changed files"),
    ],
    "13.3": [
        (lambda content, lfs: hashlib.sha256(content).digest(), "hexdigest() gives a string"),
        (lambda content, lfs: hashlib.sha1(b"file" + content).hexdigest(), "not the blob's"),
        (lambda content, lfs: blob_step_by_step(content.decode().encode(), lfs), "raised UnicodeDecodeError"),
    ],
    "13.4": [
        (pointer_by_its_first_word, "A pointer begins with its version line"),
        (pointer_by_a_prefix, "another version can begin like it"),
        (pointer_by_a_part, "A pointer begins with its version line"),
        (lambda content: pointer_by_lines(content) or ("", 0), "None was expected"),
        (lambda content: pointer_by_lines(content) is not None, "a pair of the sha256 and the size"),
        (lambda content: pointer_by_pattern(content[:100]), "but got None"),
        (lambda content: (one := pointer_by_lines(content)) and (one[0], float(one[1])), "should be an int"),
    ],
    "13.5": [
        (lambda card, titles: [title for title in titles if title not in card], "may hold only blank lines"),
        (lambda card, titles: sorted(gaps_by_pattern(card, titles)), "in the order of titles"),
        (lambda card, titles: {*gaps_by_pattern(card, titles)}, "a list of titles"),
        (lambda card, titles: [title for title in titles if title not in gaps_by_pattern(card, titles)], "Look at"),
    ],
    "13.6": [
        (lambda repository, line: add(repository, line, once=True), "412 from the Hub"),
        (lambda repository, line: add(repository, line, every_error=True), "helps only after a 412"),
        (lambda repository, line: add(repository, line, end=""), "end with a line break"),
        (lambda repository, line: add(repository, line, keep_text=True), "of somebody else is gone"),
        (lambda repository, line: add(repository, line, newest=lambda oid, one: one.head()), "the id of your commit"),
        (lambda repository, line: repository.head(), "no commit"),
        (add_in_front, "the last one"),
        (add_if_it_is_new, "the id of your commit"),
        (add_after_a_newer_head, "of somebody else is gone"),
        (add_to_what_it_tried, "once was expected"),
        (swallow, "let every other error out"),
        (raise_another, "the same error should come out"),
    ],
    "13.7": [
        (choose_with_none_as_zero, "no measurement"),
        (choose_in_place, "changed models"),
        (lambda *given: choose_by_loop(*given) or "none", "Nothing fits"),
        (lambda models, task, licences, least: models[-1]["id"] if models else None, "This one does not fit"),
        (lambda models, *_: models, "an id or None"),
    ],
}

"""Whose file is it? Learning platforms put the student into the name of a file or of the folder around it.

Moodle:     `Full Name_1234567_assignsubmission_file_/04_tokenizers.ipynb`, or the same as one name
Canvas:     `lastfirst_12345_678901_04_tokenizers.ipynb`, with `_LATE_` behind the name
ILIAS:      `Last_First_login_123/04_tokenizers.ipynb`
Blackboard: `Assignment_login_attempt_2026-11-30-14-30-15_04_tokenizers.ipynb`
by hand:    `<id>_04_tokenizers.ipynb`, or a folder for each id or e-mail address

Every part of a path that says something has to say the same. Nothing is guessed: two students of one name, or a folder
and a file that name different students, are for the teacher to look at.
"""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from labs_utils.chapters import chapters
from labs_utils.classroom.roster import Student, folded

_MOODLE = re.compile(r"^(?P<who>.+?)_\d+_assignsubmission_[a-z]+_?(?P<rest>.*)$", re.IGNORECASE)
_CANVAS = re.compile(r"^(?P<who>[^_]+)(?:_LATE)?_(?P<id>\d+)_\d+_(?P<rest>.*)$", re.IGNORECASE)
_BLACKBOARD = re.compile(r"_attempt_\d{4}(-\d\d){5}", re.IGNORECASE)
_ENDINGS = re.compile(r"(\.(ipynb|txt|json|zip|py|html|pdf|docx?))+$", re.IGNORECASE)
# Made by programs: `hand-in_…_20261130-143015`, "copy (2)", "-Copy1", and so on.
_DECORATION = re.compile(r"\bhand-in(?=_)|(?<=[_ -])\d{8}-\d{6}(-\d+)?\b|\(\d+\)|[ _-]+cop(y|ie)\s*\d*$", re.IGNORECASE)
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"})
_SHORT = 4  # digits: 2026, 04 and 12 stand in many names


def recognise(path: Sequence[str], students: Mapping[str, Student]) -> tuple[str, str]:
    """Return the id of the student that a path names, and ""; or "" and a sentence that says why there is none.

    `path` holds the names of the source, of folders, and of the file. The source's own name is asked last, unless it is
    of a platform's form: a platform calls the archive of a whole class by numbers of its own.

    >>> class_of_two = {"s01": Student("s01", "Student One", ""), "s02": Student("s02", "Élève Deux", "")}
    >>> recognise(["all.zip", "Eleve Deux_4711_assignsubmission_file_", "04_tokenizers.ipynb"], class_of_two)
    ('s02', '')
    >>> recognise(["Downloads", "04_tokenizers.ipynb"], class_of_two)[1].partition(". ")[0]
    'Its name and its folders name nobody on the roster'
    """
    by_platform = [part for part in path[:1] if _MOODLE.match(part) or _CANVAS.match(part)]
    said = [(part, who) for part in [*by_platform, *path[1:]] if (who := named_in(part, students))]
    if not said:
        said = [(part, who) for part in path[:1] if (who := named_in(part, students))]
    if not said:
        cure = f"Put the id in front, such as ID_{path[-1]}, or add the student with labs class add-student."
        return "", f"Its name and its folders name nobody on the roster. {cure}"
    agreed = set.intersection(*(who for _, who in said))
    if len(agreed) == 1:
        return agreed.pop(), ""
    if agreed:
        return "", f"It could be of {_listed(agreed)}. Put the id in front of the file's name, and collect it again."
    names = " and ".join(f"“{part}” names {_listed(found)}" for part, found in said)
    return "", f"Whose it is can't be told: {names}. Put it into a folder that is named by the right id alone."


def _listed(ids: Iterable[str]) -> str:
    return " or ".join(sorted(ids))


def named_in(part: str, students: Mapping[str, Student]) -> set[str]:
    """The ids of the students that one name (of a file, a folder, an archive) may mean."""
    if found := _MOODLE.match(part):
        return _both(_any(found["who"], students), named_in(found["rest"], students))
    if found := _CANVAS.match(part):
        number = {id for id in students if folded(id) == found["id"]}
        return _both(_both(_any(found["who"], students), number), named_in(found["rest"], students))
    return _any(_BLACKBOARD.sub("", part), students)


def _any(text: str, students: Mapping[str, Student]) -> set[str]:
    """Those whom a text names by id, e-mail address or name."""
    text = _without_chapter(text)
    return _both(_by_id(text, students), _by_name(text, students))


def _both(one: set[str], other: set[str]) -> set[str]:
    """What two hints agree on; where they contradict each other, all of them; where one says nothing, the other."""
    return (one & other) or (one | other)


def _without_chapter(text: str) -> str:
    """A name without its ending, the chapter, and what programs add: what remains may be a person."""
    text = _ENDINGS.sub("", unicodedata.normalize("NFC", text))
    for one in chapters().values():
        title = re.escape(one.stem[3:]).replace("_", "[ _-]")
        copied = r"([ _-]?\(?\d{1,2}\)?$)?"  # 04_tokenizers-1, 04_tokenizers (2)
        stem = rf"(?<![^\W_]){one.number}[ _-]{title}(?![^\W_]){copied}"
        text = re.sub(stem, " ", text, flags=re.IGNORECASE)
    return _DECORATION.sub(" ", text).strip(" _-.")


def _by_id(text: str, students: Mapping[str, Student]) -> set[str]:
    """Those whose id or e-mail address stands in a text by itself. A short number has to be the whole text."""
    text = folded(text)
    found: dict[str, str] = {}
    for student in students.values():
        for word in filter(None, (folded(student.id), folded(student.email))):
            short = word.isdigit() and len(word) <= _SHORT
            if word == text or (not short and re.search(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", text)):
                found[student.id] = max(word, found.get(student.id, ""), key=len)
    longest = found.values()
    return {id for id, word in found.items() if not any(word != other and word in other for other in longest)}


def _by_name(text: str, students: Mapping[str, Student]) -> set[str]:
    """Those whose names' words all stand in a text, in any order, or without spaces as Canvas writes them.

    Accents and case don't count, unless they tell two students from each other.
    """
    words = _words(text)
    found = {id: _words(one.name) for id, one in students.items() if _is_named(_words(one.name), words)}
    longest = {id for id, own in found.items() if not any(Counter(own) < Counter(other) for other in found.values())}
    accented = {id for id in longest if _is_named(_words(students[id].name, bare=False), _words(text, bare=False))}
    told_apart = {id for id in accented if _words(students[id].name, bare=False) != found[id]}
    return told_apart if len(told_apart) == 1 else longest


def _is_named(name: Sequence[str], words: Sequence[str]) -> bool:
    if not name or not words:
        return False
    if set(_turns(name)) & set(_turns(words)):
        return True
    if len(name) == 1 and name[0].isascii():  # Will, May, Grant: a name and a word
        return False
    return Counter(name) <= Counter(words)


def _turns(words: Sequence[str]) -> list[str]:
    """The words run together, beginning at each: Anna Maria Lee as annamarialee, marialeeanna, leeannamaria."""
    return ["".join([*words[at:], *words[:at]]) for at in range(len(words))]


@functools.lru_cache(maxsize=10_000)  # the names of a class are asked for each file anew
def _words(text: str, bare: bool = True) -> tuple[str, ...]:
    """The words of a text, without case; and without accents, if they are to be bare.

    >>> _words("Élève-Trois, Søren"), _words("Élève", bare=False)
    (('eleve', 'trois', 'soren'), ('élève',))
    """
    text = folded(text)
    if bare:
        parts = unicodedata.normalize("NFD", text)
        text = unicodedata.normalize("NFC", "".join(one for one in parts if not _is_accent(one))).translate(_LETTERS)
    letters = (one if one.isalnum() or unicodedata.category(one)[0] == "M" else " " for one in text)
    return tuple("".join(letters).split())


def _is_accent(character: str) -> bool:
    """Latin, Greek and Cyrillic accents; an Indic vowel or a Japanese voicing mark is part of its letter."""
    return "\u0300" <= character <= "\u036f"

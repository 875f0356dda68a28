"""A made class of five, and what they hand in for chapter 04: a school's list of them, and a platform's download.

Student One solves everything. Two makes two mistakes that the judges know, and leaves the rest. Three hands in One's
answers with other variables. Four's notebook went through Colab, and one answer never ends. Five hands in chapter 00.
"""

import json
import zipfile
from pathlib import Path

from labs_utils.paths import ROOT

STUDENTS = {"s01": "Student One", "s02": "Student Two", "s03": "学生三", "s04": "Élève Quatre", "s05": "Student Five"}

ONE = {
    "4.2": """\
def merge_pair(word, pair):
    merged = []
    rest = list(word)
    while rest:
        taken = 2 if tuple(rest[:2]) == tuple(pair) else 1
        merged.append("".join(rest[:taken]))
        rest = rest[taken:]
    return merged""",
}
TWO = {
    "4.1": """\
def count_pairs(words):
    pairs = {}
    for symbols, frequency in words.items():
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] = pairs.get(pair, 0) + 1
    return pairs""",
    "4.2": """\
def merge_pair(word, pair):
    for place in range(len(word) - 1):
        if (word[place], word[place + 1]) == tuple(pair):
            return word[:place] + ["".join(pair)] + word[place + 2 :]
    return list(word)""",
}
THREE = {"4.2": ONE["4.2"].replace("rest", "left").replace("taken", "count")}
NEVER_ENDS = """\
def bpe(word, merges):
    symbols = list(word)
    while True:
        for pair in merges:
            symbols = merge_pair(symbols, pair)"""


def write_roster(path: Path) -> None:
    """The list of students as a school exports it: with a byte-order mark and semicolons."""
    lines = [f"{name};{id};{id}@school.example" for id, name in STUDENTS.items()]
    path.write_text("\n".join(["Name;ID number;Email address", *lines]) + "\n", encoding="utf-8-sig")


def write_download(path: Path) -> None:
    """A zip of the submissions, with the names that Moodle gives them."""
    own = {
        "s01": with_answers(read("solutions", "04_tokenizers"), ONE),
        "s02": with_answers(read("notebooks", "04_tokenizers"), TWO),
        "s03": with_answers(read("solutions", "04_tokenizers"), THREE),
        "s04": by_colab(with_answers(read("solutions", "04_tokenizers"), {"4.3": NEVER_ENDS})),
        "s05": read("solutions", "00_start_here"),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, (id, notebook) in enumerate(own.items()):
            name = f"{STUDENTS[id]}_{4200 + place}_assignsubmission_file/04_tokenizers.ipynb"
            archive.writestr(name, json.dumps(notebook, ensure_ascii=False))


def read(edition: str, stem: str) -> dict:
    """One of our notebooks, to be changed."""
    return json.loads((ROOT / edition / f"{stem}.ipynb").read_text(encoding="utf-8"))


def with_answers(notebook: dict, answers: dict[str, str]) -> dict:
    """The notebook with other code in the exercises' cells: for each, the last one tagged so before its check."""
    place = None
    for cell in notebook["cells"]:
        place = cell if "exercise" in cell["metadata"].get("tags", ()) else place
        for number, code in answers.items():
            if "".join(cell["source"]).startswith(f'lab.check("{number}"'):
                place["source"] = code.splitlines(keepends=True)
    return notebook


def by_colab(notebook: dict) -> dict:
    """The notebook as Colab saves it: ids of its own in the metadata, none in the cells."""
    for place, cell in enumerate(notebook["cells"]):
        del cell["id"]
        cell["metadata"] = {"id": f"Xy{place:03d}Zq"}
    notebook["metadata"]["colab"] = {"provenance": []}
    return notebook

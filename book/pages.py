"""The pages that gather what stands in many places: words, changes, data, functions. No text is written twice."""

import re
import tomllib
from pathlib import Path

import labs_utils
from labs_utils.chapters import Chapter, chapters
from labs_utils.errors import WorkbookError
from labs_utils.materials.catalog import entries
from labs_utils.paths import ROOT

HERE = Path(__file__).parent
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z*`(\"“])")


def prose(chapter: Chapter) -> list[tuple[str, str]]:
    """The paragraphs of a chapter, each with the heading of its section."""
    import jupytext

    found, section = [], chapter.title
    for cell in jupytext.reads(chapter.lesson.read_text(encoding="utf-8"), fmt="py:percent").cells:
        if cell.cell_type != "markdown" or "instructor" in cell.metadata.get("tags", []):
            continue
        for block in re.split(r"\n\s*\n|\n(?=- )", re.sub(r"<!--.*?-->\n?", "", cell.source)):
            if heading := re.match(r"#{1,4} (.*)", block):
                section = heading[1]
                block = block.partition("\n")[2]
            if block.strip() and not block.lstrip().startswith(("|", "```")):
                found.append((section, " ".join(block.split())))
    return found


def glossary() -> str:
    """The terms of `glossary.toml`, each with the sentence that brings it up, and a link to the chapter.

    Raises:
        WorkbookError: a term that no chapter has.
    """
    terms = tomllib.loads((HERE / "glossary.toml").read_text(encoding="utf-8"))["terms"]
    texts = [(one, *part) for one in chapters().values() for part in prose(one)]
    lines = ["# Words\n\nEach word with the sentence in which a chapter introduces it.\n"]
    for term in sorted(terms, key=str.casefold):
        chapter, section, sentence = _introduced(term, texts)
        sentence = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", sentence)  # a link's own address holds in its chapter only
        place = f"[{chapter.number} {chapter.title}]({chapter.stem}.ipynb), {section.strip()}"
        lines.append(f"{term}\n: {sentence} → {place}\n")
    return "\n".join(lines)


def _introduced(term: str, texts: list) -> tuple[Chapter, str, str]:
    """The first sentence that has the term in bold; the first that has it at all where none has it so."""
    word = re.escape(term)
    for pattern in (rf"\*\*{word}s?\*\*", rf"\b{word}s?\b"):
        for chapter, section, text in texts:
            sentences = _SENTENCE.split(re.sub(r"^(-|\d+\.) ", "", text))
            for at, sentence in enumerate(sentences):
                if re.search(pattern, sentence, re.IGNORECASE):
                    first = at - 1 if at and re.match(r"(This|That|Such|It|These|They|So)\b", sentence) else at
                    last = at + 1 if len(sentence) < 50 else at
                    return chapter, section, " ".join(sentences[first : last + 1])
    raise WorkbookError(
        f"book/glossary.toml lists {term!r}, and no chapter has that word. Mend its spelling or drop it."
    )


def changes() -> str:
    """The tables "What changed" of all chapters."""
    parts = [
        "# What changed\n\nWhat many study notes say, and what today's libraries want instead. Each right-hand call is "
        "run in its chapter.\n"
    ]
    for chapter in chapters().values():
        text = re.sub(r"^# ?", "", chapter.lesson.read_text(encoding="utf-8"), flags=re.MULTILINE)
        section = text.partition("## What changed since the notes")[2]
        table = re.search(r"^\|.*?(?=\n[^|])", section, re.MULTILINE | re.DOTALL)
        if table:
            parts.append(f"## {chapter.number} [{chapter.title}]({chapter.stem}.ipynb)\n\n{table[0]}\n")
    return "\n".join(parts)


def functions() -> str:
    """The public names of the helper package, from their docstrings."""
    names = "\n".join(f".. autofunction:: labs_utils.{name}\n" for name in labs_utils.__all__)
    opening = "# What `lab` offers\n\nA notebook says `import labs_utils as lab`. These are the names it may use.\n"
    return f"{opening}\n```{{eval-rst}}\n{names}\n```\n"


def cards() -> dict[str, str]:
    """The overview of models and data, and a page for each card that ships: page name to text."""
    found, rows = {}, []
    for kind in ("models", "datasets"):
        for role, entry in entries()[kind].items():
            path = ROOT / "data" / kind / role / "README.md"
            name = role
            if path.is_file():
                page = f"card_{kind[:-1]}_{role.replace('-', '_')}"
                found[page] = _card(path.read_text(encoding="utf-8"))
                name = f"[{role}]({page}.md)"
            hub = f"`{entry['hub']}`" if "hub" in entry else "—"
            rows.append(f"| {name} | {kind[:-1]} | {entry['licence']} | {hub} |")
    head = "| role | kind | licence | on the Hub |\n| --- | --- | --- | --- |\n"
    tree = "\n".join(found)
    found["data"] = (
        "# Models and data\n\nWhat the chapters ask for by role, and under which licence it comes. A role with a link "
        f"ships with the course.\n\n{head}"
        + "\n".join(rows)
        + f"\n\n```{{toctree}}\n:hidden:\n:maxdepth: 1\n\n{tree}\n```\n"
    )
    return found


def _card(text: str) -> str:
    """A card without its front matter; links into the repository become names."""
    body = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    return re.sub(r"\[([^\]]+)\]\((?!https?://)[^)]*\)", r"\1", body)


def licence() -> str:
    """The licence of code and lessons, whole, after the README's paragraph on what it covers."""
    said = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Licence\n")[2]
    said = re.sub(r"\[([^\]]+)\]\((?!https?://)[^)]*\)", r"\1", said)
    whole = (ROOT / "LICENSE").read_text(encoding="utf-8")
    return f"# Licence\n\n{said}\n\n## Apache License 2.0\n\n```text\n{whole}\n```\n"

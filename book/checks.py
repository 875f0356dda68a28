"""What a site must not have: dead links, requests to elsewhere, pictures without a text, pages that are too heavy."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGEST_PAGE = 3 * 2**20
LARGEST_SITE = 40 * 2**20
_LOADED = {("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}


class _Reader(HTMLParser):
    """Collects a page's links, what it loads, its anchors, and pictures and frames without a text."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.links, self.loaded, self.anchors, self.mute = [], [], {""}, []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "img" and not found.get("alt") and found.get("role") != "presentation":
            self.mute.append(f"a picture without a text: {found.get('src', '')[:80]}")
        if tag == "iframe" and not found.get("title"):
            self.mute.append("a frame without a title")
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        self.loaded += [found[name] for wanted, name in _LOADED if tag == wanted and found.get(name)]

    handle_startendtag = handle_starttag


def faults(site: Path) -> list[str]:
    """Every fault of the site below `site`, as a sentence that names the page."""
    read, found = {}, []
    for path in sorted(site.glob("*.html")):
        read[path] = _Reader()
        read[path].feed(path.read_text(encoding="utf-8"))
        if path.stat().st_size > LARGEST_PAGE:
            found.append(f"{path.name} has {path.stat().st_size / 2**20:.1f} MiB; a page may have 3.")
    for path, page in read.items():
        found += [f"{path.name}: {sentence}" for sentence in page.mute]
        found += [f"{path.name} loads {one}, which is not of this site." for one in page.loaded if _is_foreign(one)]
        inside = [one for one in [*page.links, *page.loaded] if not urlsplit(one).scheme and not one.startswith("//")]
        found += [f"{path.name} links to {one}, which is not there." for one in inside if _is_dead(one, path, read)]
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    return found + ([f"The site has {size / 2**20:.0f} MiB; it may have 40."] if size > LARGEST_SITE else [])


def _is_foreign(address: str) -> bool:
    return urlsplit(address).scheme in ("http", "https") or address.startswith("//")


def _is_dead(address: str, page: Path, read: dict) -> bool:
    parts = urlsplit(address)
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target in read:
        return bool(parts.fragment) and unquote(parts.fragment) not in read[target].anchors
    return not target.exists()

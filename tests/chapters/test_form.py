"""The form that every lesson keeps: short cells, wrapped prose."""

import pytest

from labs_utils.chapters import chapters
from tests.support.sources import SOURCES, cells

MOST_LINES = 12
every_chapter = pytest.mark.parametrize("number", list(chapters()))


@every_chapter
def test_cells_are_short(number):
    """A cell holds one idea. Where a whole function is the lesson it is tagged `long`, with the reason in `why`."""
    for cell in cells(SOURCES[number]):
        if cell.cell_type != "code" or "exercise" in cell.metadata.get("tags", []):
            continue
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if "long" in cell.metadata.get("tags", []):
            assert len(lines) > MOST_LINES, f"not long, and tagged so:\n{cell.source}"
            assert len(cell.metadata.get("why", "")) > 10, f"a long cell says why:\n{cell.source}"
        else:
            assert len(lines) <= MOST_LINES, f"{len(lines)} lines:\n{cell.source}"


@every_chapter
def test_prose_is_wrapped(number):
    """Lines of prose keep to 120 columns, as code does; a row of a table can't be broken."""
    for line in SOURCES[number].read_text(encoding="utf-8").splitlines():
        assert len(line) <= 120 or line.startswith(("# |", "# <")) or not line.startswith("#"), line

"""Every topic that the course promises is in its chapter, in a section that runs code."""

import re

import pytest

from labs_utils.chapters import CHAPTERS
from tests.sources import SOURCES, cells

# chapter -> the numbers of its topics: T001 … T237 over the whole course
TOPICS = {
    "00": range(1, 5),
    "01": range(10, 23),
    "02": range(30, 43),
    "03": range(50, 59),
    "04": range(60, 75),
    "05": range(80, 95),
    "06": range(100, 112),
    "07": range(120, 129),
    "08": range(130, 140),
    "09": range(140, 149),
    "10": range(150, 163),
    "11": range(170, 182),
    "12": range(190, 198),
    "13": range(200, 212),
    "14": range(220, 228),
    "15": range(230, 238),
}


@pytest.mark.parametrize("number", list(CHAPTERS))
def test_every_topic_has_a_section_with_code(number):
    shown, open_topics = set(), set()
    for cell in cells(SOURCES[number]):
        if cell.cell_type == "code":
            shown |= open_topics
        else:
            if re.search(r"^## ", cell.source, re.MULTILINE):
                open_topics = set()
            comments = " ".join(re.findall(r"<!--(.*?)-->", cell.source))
            open_topics |= {int(found) for found in re.findall(r"T(\d{3})", comments)}
    assert shown == set(TOPICS[number])

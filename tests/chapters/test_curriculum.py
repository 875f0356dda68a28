"""Every topic that the course promises is in its chapter, in a section that runs code."""

import re

import pytest

from labs_utils.chapters import chapters
from tests.support.sources import SOURCES, cells


@pytest.mark.parametrize("number", list(chapters()))
def test_every_topic_has_a_section_with_code(number):
    shown, open_topics = set(), set()
    for cell in cells(SOURCES[number]):
        if cell.cell_type == "code":
            shown |= open_topics
        else:
            if re.search(r"^## ", cell.source, re.MULTILINE):
                open_topics = set()
            comments = " ".join(re.findall(r"<!--(.*?)-->", cell.source))
            open_topics |= set(re.findall(r"T\d{3}", comments))
    assert shown == set(chapters()[number].topics)

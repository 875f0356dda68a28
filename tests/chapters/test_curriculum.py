"""Every topic that the course promises is in its chapter, in a section whose code shows it."""

import re
from collections import defaultdict

import pytest

from labs_utils.chapters import chapters
from tests.support.sources import SOURCES, cells


def shown(number: str) -> dict[str, str]:
    """The topics whose number stands in a section's prose, each with the code of that section below the number."""
    code, section = defaultdict(str), set()
    for cell in cells(SOURCES[number]):
        if cell.cell_type == "code":
            for topic in section:
                code[topic] += cell.source + "\n"
        else:
            if re.search(r"^## ", cell.source, re.MULTILINE):
                section = set()
            comments = " ".join(re.findall(r"<!--(.*?)-->", cell.source))
            section |= set(re.findall(r"T\d{3}", comments))
    return code


@pytest.mark.parametrize("number", list(chapters()))
def test_every_topic_has_a_section_whose_code_shows_it(number):
    promised, code = chapters()[number].topics, shown(number)
    assert set(code) == set(promised)
    without = {topic: evidence for topic, evidence in promised.items() if not evidence or evidence not in code[topic]}
    assert not without, f"no code cell of the topic's section holds this: {without}"

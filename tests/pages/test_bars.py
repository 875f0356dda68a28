"""A bar moves in a notebook; on a page it stands as it ended, where the cell made it."""

import re

import IPython.display
import pytest

from book import bars


class Place:
    """What `display` gives back: the place that a later update changes."""

    def __init__(self, data):
        self.data = data

    def update(self, data, raw):
        self.data = data


@pytest.fixture
def shown(monkeypatch):
    """Runs code as a cell of a notebook does, with the bars of a page; gives what stands where each bar began."""
    places = []

    def display(data, raw, display_id):
        places.append(Place(data))
        return places[-1]

    def run(code, module="__main__"):
        exec(code, {"__name__": module, "tqdm": bars.Finished})
        return [one.data.get("text/html", "") for one in places]

    monkeypatch.setattr(IPython.display, "display", display)
    return run


def words(html: str) -> list[str]:
    return [part for part in re.split(r"<[^>]*>", html) if part.strip()]


def test_a_bar_stands_as_it_ended(shown):
    code = "bar = tqdm(range(3), desc='epoch')\nfor step in bar: bar.set_postfix(loss=step)"
    (html,) = shown(code)
    assert '<progress max="3" value="3" aria-label="epoch: 100%">' in html
    first, last = words(html)
    assert first == "epoch: 100%" and last.startswith("3/3 [") and last.endswith("loss=2]")


def test_a_loop_that_stopped_early_leaves_its_bar_there(shown):
    (html,) = shown("for step in tqdm(range(4)):\n    if step == 1: break")
    assert 'max="4" value="1"' in html


def test_a_bar_that_does_not_stay_and_one_that_is_off_show_nothing(shown):
    assert shown("list(tqdm(range(3), leave=False)); list(tqdm(range(3), disable=True))") == []


def test_a_librarys_own_bar_is_off_and_a_cells_through_trange_is_not(shown, monkeypatch):
    assert shown("list(tqdm(range(3)))", "transformers.trainer") == []
    monkeypatch.setattr(bars.auto, "tqdm", bars.Finished)
    assert len(shown("from tqdm.auto import trange\nlist(trange(3))")) == 1


def test_texts_are_escaped_and_a_length_that_nobody_knows_is_full(shown):
    (html,) = shown("list(tqdm(iter('ab'), desc='<b>'))")
    assert "&lt;b&gt;" in html and "<b>" not in html and 'max="1" value="1"' in html


def test_a_format_of_ones_own_keeps_its_order(shown):
    (html,) = shown("with tqdm(total=4, bar_format='{n} of {total}|{bar}| x') as bar: bar.update(2)")
    assert words(html) == ["2 of 4", "x"] and 'max="4" value="2"' in html


def test_a_printed_bar_has_the_blocks_of_a_notebooks(shown, capsys):
    shown("bar = tqdm(total=2)\nbar.update(2)\nprint(bar)\nbar.close()")
    assert "100%|██████████| 2/2" in capsys.readouterr().out

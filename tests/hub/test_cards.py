"""The metadata of a card: what the Hub would refuse is refused, in a sentence that says what to write."""

import pytest

from labs_utils.hub_server import cards
from labs_utils.paths import ROOT


def problems(metadata: str, kind: str = "model") -> list[str]:
    return cards.problems(f"---\n{metadata}\n---\n# A card\n", kind)[0]


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ("license: MIT", "Perhaps you mean mit."),
        ("license: apache", "Perhaps you mean apache-2.0."),
        ("license: [mit, nothing-like-it]", '"nothing-like-it" is none'),
        ("language: no", 'write "no" in quotes'),
        ("language: [en, no]", 'write "no" in quotes'),
        ("pretty_name: on", "as a boolean"),
        ("license_name: 2.0", 'write "2.0" in quotes'),
        ("language: English", "lowercase"),
        ("language: english", "ISO 639-1"),
        ("language: xx", "ISO 639-1"),
        ("tags: course", '"tags" must be an array'),
        ("widget: hello", '"widget" must be an array'),
        ("datasets: {a: b}", '"datasets" must be a string or an array of strings'),
        ("library_name: [transformers]", '"library_name" must be a string'),
        ("base_model: ./checkpoint dir", "Use a model id"),
        ("model-index: foo", '"model-index" must be an array'),
        ("model-index: [{results: []}]", '"model-index[0].name" is required'),
        ("model-index: [{name: x}]", '"model-index[0].results" is required'),
        ("model-index: [{name: x, results: [{task: {type: a}}]}]", "results[0].metrics"),
        ("model-index: [{name: x, results: [{metrics: []}]}]", "results[0].task"),
        ("model-index: [{name: x, results: [{task: {type: a}, metrics: [{type: b}]}]}]", "metrics[0]"),
        ("a: [", "not valid YAML"),
        ("- a list", "must be a mapping"),
    ],
)
def test_what_is_wrong_is_said(metadata, words):
    found = problems(metadata)
    assert len(found) == 1 and words in found[0], found


@pytest.mark.parametrize(
    ("metadata", "words"),
    [("title: x", '"sdk" is required'), ("sdk: gradio\ncolorFrom: beige", '"colorFrom" must be one of')],
)
def test_a_space_says_how_it_is_shown(metadata, words):
    assert words in problems(metadata, "space")[0]
    assert not problems(metadata, "model")


@pytest.mark.parametrize(
    "metadata",
    [
        'language: "no"',
        "language: [en, zho, multilingual, code]",
        "license: [mit, cc0-1.0]",
        "license: other\nlicense_name: mine",
        "base_model: [a/b, bert-base-uncased]",
        "model-index: [{name: x, results: []}]",
        "model-index: [{name: x, results: [{task: {type: a}, dataset: {name: b}, metrics: [{type: c, value: 1}]}]}]",
        "thumbnail: null",
        "anything_else: {a: [1]}",
        "configs: [{config_name: default}]\ndataset_info: {features: []}",
    ],
)
def test_what_is_right_passes(metadata):
    assert problems(metadata) == []


def test_a_card_without_metadata_is_warned_of():
    assert cards.problems("# Only words", "model") == ([], ["empty or missing yaml metadata in repo card"])


def test_the_cards_of_this_repository_pass():
    found = sorted((ROOT / "data").glob("*/*/README.md"))
    assert len(found) > 10
    for path in found:
        kind = "dataset" if "datasets" in path.parts else "model"
        assert cards.problems(path.read_text(encoding="utf-8"), kind) == ([], []), path

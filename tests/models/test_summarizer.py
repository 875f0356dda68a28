"""The summarizer writes about the text that it is given."""

from data.recipes.summarizer import rouge1
from data.recipes.texts import our_rows
from data.recipes.training import generate
from tests.support.models import load


def test_the_summarizer_writes_about_the_text_rather_than_about_another():
    model, tokenizer = load("summarizer")
    rows = our_rows("articles/test.jsonl")[:12]
    found = generate(model, tokenizer, [row["text"] for row in rows])
    own = [[row["text"]] for row in rows]
    other = own[1:] + own[:1]
    assert rouge1(found, own) > rouge1(found, other)

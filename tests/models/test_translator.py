"""The translator writes English."""

from data.recipes.metrics import chrf
from data.recipes.training import generate
from tests.support.models import load


def test_the_translator_is_nearer_to_the_english_than_the_french_is():
    french = ["Je ne sais pas où il est.", "Tom est très content.", "Où est la gare ?", "Elle a acheté un livre."]
    english = ["I don't know where he is.", "Tom is very happy.", "Where is the station?", "She bought a book."]
    found = generate(*load("translator"), french)
    assert chrf(found, english) > 20 + chrf(french, english)


def test_the_translators_tokenizer_closes_each_text():
    tokenizer = load("translator")[1]
    ids = tokenizer(["L'été est là.", "Oui."], padding=True)["input_ids"]
    assert ids[0][-1] == tokenizer.eos_token_id and tokenizer.eos_token_id in ids[1]
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == "L'été est là."
    assert tokenizer("L’été")["input_ids"] == tokenizer("L'été")["input_ids"]

"""What the recipes share: texts, teaching, publishing, figures, tables."""

import ast
import doctest
import gzip
import importlib
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification

from data.recipes import measure, metrics, publishing, texts, training
from data.recipes.muon import orthogonal
from data.recipes.results import Row, table, write_section
from labs_utils.materials.catalog import checkpoint
from labs_utils.materials.merging import merge
from labs_utils.paths import ROOT

RECIPES = ROOT / "data" / "recipes"
MODULES = sorted(path.stem for path in RECIPES.glob("*.py") if path.stem != "__init__")
ROLES = {role.replace("-", "_") for role in measure.made_here()}


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_a_module_are_true(name):
    assert doctest.testmod(importlib.import_module(f"data.recipes.{name}")).failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_no_module_imports_a_role_a_test_or_a_benchmark(name):
    tree = ast.parse((RECIPES / f"{name}.py").read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not imported & {f"data.recipes.{role}" for role in ROLES}
    assert not {module for module in imported if module.partition(".")[0] in ("tests", "benchmarks", "chapters")}


@pytest.mark.parametrize("role", measure.made_here())
def test_every_model_that_is_made_here_has_a_recipe_and_a_measure(role):
    assert callable(measure.recipe(role).main) and callable(measure.recipe(role).measured)


def test_an_unknown_role_is_not_measured():
    with pytest.raises(SystemExit, match="No measure is called encoder"):
        measure.main(["encoder"])


# ---------------------------------------------------------------------------------------------------- texts


def test_a_public_file_is_read_from_its_folder_and_none_is_made_up(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "PUBLIC", tmp_path)
    (tmp_path / "tatoeba_fra_eng").mkdir()
    lines = "Go.\tVa !\tby someone\nHi.\tSalut !\tby another\n"
    (tmp_path / "tatoeba_fra_eng" / "fra.txt.gz").write_bytes(gzip.compress(lines.encode()))
    assert texts.tatoeba("fra") == [("Go.", "Va !"), ("Hi.", "Salut !")]
    assert texts.public_text("snli/validation.tsv") is None


def test_what_is_held_out_shares_no_premise_with_what_is_learnt(tmp_path, monkeypatch):
    rows = [{"premise": f"scene {number // 3}", "label": number % 3} for number in range(90)]
    monkeypatch.setattr(texts, "PUBLIC", tmp_path)
    monkeypatch.setattr(texts, "hub_rows", lambda *_, **__: iter(rows))
    learnt, held_out = texts.snli()
    assert len(learnt) == 60 and len(held_out) == 30
    assert not {row["premise"] for row in learnt} & {row["premise"] for row in held_out}


# ---------------------------------------------------------------------------------------------------- teaching


class Line(torch.nn.Module):
    """y = weight · x, with the squared error as its loss, and a note of when it learnt."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, y):
        assert self.training
        return SimpleNamespace(loss=((self.weight * x - y) ** 2).mean())


def fit_a_line(steps: int, **options) -> Line:
    line = Line().to(training.device())
    batches = iter(lambda: {"x": torch.ones(1), "y": torch.ones(1)}, None)
    optimizer = torch.optim.SGD(line.parameters(), lr=0.1)
    training.fit(line, batches, steps, [optimizer], lambda step, progress: 1 - progress, **options)
    return line


def test_fit_takes_as_many_steps_as_it_is_told_and_reports_now_and_then(capsys, monkeypatch):
    monkeypatch.delenv("LABS_MINUTES", raising=False)
    line = fit_a_line(5, every=2, report=lambda: "as hoped")
    told = capsys.readouterr().out.splitlines()
    assert [text.split(":")[0] for text in told] == ["step 2/5", "step 4/5", "step 5/5"]
    assert all(text.endswith("as hoped") for text in told)
    # the gradient, 2 (weight - 1), is clipped to 1; the rate falls from 0.1 in five equal parts
    assert line.weight.item() == pytest.approx(0.1 + 0.08 + 0.06 + 0.04 + 0.02) and not line.training


def test_fit_ends_when_its_minutes_are_over(monkeypatch):
    monkeypatch.setenv("LABS_MINUTES", "1e-9")
    assert fit_a_line(1000).weight.item() == 0
    monkeypatch.setenv("LABS_MINUTES", "")
    assert fit_a_line(1000, minutes=1e-9).weight.item() == 0


def test_the_schedules_warm_up_and_come_down():
    linear, cosine = training.warm_then_linear(100), training.warm_then_cosine(10)
    assert [linear(0, done) for done in (0, 0.05, 0.1, 0.55, 1)] == pytest.approx([0.1, 0.5, 1, 0.5, 0])
    assert [cosine(step, 0) for step in (0, 4, 9, 50)] == pytest.approx([0.1, 0.5, 1, 1])
    assert [cosine(50, done) for done in (0.5, 1)] == pytest.approx([0.525, 0.05])


def test_an_epoch_of_batches_has_every_feature_once():
    features = [
        {"input_ids": [number] * (1 + number % 7), "attention_mask": [1] * (1 + number % 7)} for number in range(50)
    ]
    batches = list(training.batches(features, 8, 2, random.Random(0)))
    assert len(batches) == 14
    for epoch in (batches[:7], batches[7:]):
        assert sorted(row[0].item() for batch in epoch for row in batch["input_ids"]) == list(range(50))


def test_a_batch_of_pairs_has_no_more_tokens_than_allowed_and_says_what_is_padding():
    chooser = random.Random(0)
    sources = [[5] * chooser.randint(1, 20) for _ in range(200)]
    batches = training.batches_of_pairs(sources, [[6] * len(source) for source in sources], 100, chooser)
    for _, batch in zip(range(30), batches, strict=False):
        assert batch["labels"].numel() <= 100
        assert (batch["input_ids"] == 5).equal(batch["attention_mask"] == 1)
        assert (batch["labels"] == 6).equal(batch["labels"] != -100)


def test_an_update_made_orthogonal_has_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((8, 32), (32, 8)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.5 and values.max() < 1.5


# ---------------------------------------------------------------------------------------------------- publishing


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A folder of models that has a card for the role `tiny`."""
    monkeypatch.setattr(publishing, "MODELS", tmp_path)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "README.md").write_text(f"A card.\n{publishing.BEGIN}\nold\n{publishing.END}\nIts end.\n")
    return tmp_path


def tiny_model() -> BertForSequenceClassification:
    config = BertConfig(
        vocab_size=30522, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    return BertForSequenceClassification(config)


def test_a_published_model_is_small_on_disk_whole_in_memory_and_has_its_card(models):
    model, tokenizer = tiny_model(), AutoTokenizer.from_pretrained(checkpoint("encoder"))
    publishing.publish("tiny", model, tokenizer)
    assert {weight.dtype for weight in load_file(models / "tiny" / "model.safetensors").values()} == {torch.float16}
    assert AutoModelForSequenceClassification.from_pretrained(models / "tiny").dtype == torch.float32
    assert AutoTokenizer.from_pretrained(models / "tiny")("a word")["input_ids"] == tokenizer("a word")["input_ids"]
    assert (models / "tiny" / "README.md").read_text().startswith("A card.")


def test_a_model_that_cannot_be_written_leaves_the_old_one(models):
    before = sorted(models.rglob("*"))
    broken = SimpleNamespace(save_pretrained=lambda folder: (folder / "vocab.txt").write_text("half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        publishing.publish("tiny", tiny_model(), broken)
    assert sorted(models.rglob("*")) == before


def test_a_published_adapter_makes_the_model_that_was_trained(models, tmp_path):
    names = ["no", "yes"]
    model, tokenizer = training.adapted_encoder(AutoModelForSequenceClassification, **training.labelled(names))
    features = training.encode(tokenizer, [{"text": "a fine day", "label": 1}] * 4, lambda row: row["label"])
    training.tune(model, features, 2, size=2)
    publishing.publish_adapter("tiny", model)
    (tmp_path / "whole").mkdir()
    merge(models / "tiny", Path(checkpoint("encoder")), tmp_path / "whole")
    whole = AutoModelForSequenceClassification.from_pretrained(tmp_path / "whole").to(training.device())
    assert whole.config.id2label == dict(enumerate(names)) and whole.dtype == torch.float32
    assert torch.allclose(training.predict(whole, features), training.predict(model, features), atol=1e-3)


def test_figures_take_the_place_of_the_old_ones_in_a_card(models):
    publishing.put_into_card("tiny", table([Row("accuracy", 0.5)], bound="goal"))
    text = (models / "tiny" / "README.md").read_text()
    assert text.startswith("A card.") and text.endswith("Its end.\n")
    assert "| accuracy | 0.5 " in text and "old" not in text
    (models / "tiny" / "README.md").write_text("A card without the marks.")
    with pytest.raises(SystemExit, match="no place for the figures"):
        publishing.put_into_card("tiny", "")


# ---------------------------------------------------------------------------------------------------- figures, tables


def test_chrf_agrees_with_a_value_worked_out_by_hand():
    assert metrics.chrf(["abc"], ["abc"]) == 100
    # "ab" against "abc": unigrams P 1, R 2/3; bigrams P 1, R 1/2; F2 = 5PR / (4P + R)
    expected = 100 * (5 * 2 / 3 / (4 + 2 / 3) + 5 / 2 / (4 + 1 / 2)) / 2
    assert metrics.chrf(["ab"], ["abc"]) == pytest.approx(expected)


def test_an_answer_is_compared_with_the_nearest_of_several():
    overlap, exact = metrics.answer_scores(["in 1932", "Marta"], [["the 1932", "1932"], ["Marta Olsen"]])
    assert overlap == pytest.approx((2 / 3 + 2 / 3) / 2) and exact == 0


def test_a_row_says_whether_its_bound_is_kept():
    assert Row("a", 1, "s").is_kept is None
    assert Row("a", 1, "s", 2).is_kept and not Row("a", 3, "s", 2).is_kept
    assert Row("a", 3, "s", 2, True).is_kept and not Row("a", 1, "s", 2, True).is_kept
    assert "**missed**" in Row("a", 1, "s", 2, True).markdown()


def test_a_section_takes_the_place_of_the_old_one_and_the_others_stay(tmp_path):
    path = tmp_path / "RESULTS.md"
    for name, text in (("b", "first"), ("a", "second"), ("b", "third")):
        write_section(path, "# Head\n\nBelow it.", name, text)
    assert path.read_text() == "# Head\n\nBelow it.\n\n## a\n\nsecond\n\n## b\n\nthird\n"


@pytest.mark.parametrize("path", ["data/models/RESULTS.md", "benchmarks/RESULTS.md"])
def test_writing_a_section_anew_changes_nothing_else(path, tmp_path):
    text = (ROOT / path).read_text(encoding="utf-8")
    (tmp_path / "RESULTS.md").write_text(text, encoding="utf-8")
    head, *sections = text.split("\n\n## ")
    name, _, body = sections[0].partition("\n\n")
    write_section(tmp_path / "RESULTS.md", head, name, body.strip())
    assert (tmp_path / "RESULTS.md").read_text(encoding="utf-8") == text

# %% [markdown]
# # 07 Heads
#
# One encoder, nine ways to use it: you put every head on the same body, recompute each head's loss with your own hands,
# and train one that you wrote yourself.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | read from a class name which head it carries, and predict the shape of what comes out | 2 hours | chapters 03 and 05 |
# | use an encoder with no head at all, as a maker of features | | |
# | set `num_labels`, `id2label` and `problem_type`, and recompute every head's loss | | |
# | feed a multiple-choice head and a question-answering head, labels out of range included | | |
# | write, train, save and reload a head of your own, and measure two ways of pooling | | |
# | say when the library throws a head away, when it silently keeps one, and what that costs | | |

# %%
import labs_utils as lab
lab.start("07")

# %% [markdown]
# A BERT-like model has two parts. The **body** (or backbone) turns every token into a vector; it is large, and somebody
# has trained it. The **head** turns vectors into an answer; it is small, and often nobody has trained it yet.
#
# Our body is the encoder of the earlier chapters. While we load it again and again, its reports would fill the page, so
# the next cell asks the library to log errors only. Where we want a report, we ask for it with
# `output_loading_info=True`.

# %%
import pandas as pd
import torch
import transformers
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
pd.set_option("display.max_colwidth", 90)
encoder = lab.checkpoint("encoder")
tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)
body = AutoModel.from_pretrained(encoder, revision=encoder.revision).eval()
type(body).__name__, f"{body.num_parameters():,} parameters, width {body.config.hidden_size}"

# %% [markdown]
# ## 7.1 The suffix names the head
# <!-- T120 -->
# Many tutorials list the suffixes: `*Model`, `*ForCausalLM`, `*ForMaskedLM`, `*ForSeq2SeqLM`, `*ForMultipleChoice`,
# `*ForQuestionAnswering`, `*ForSequenceClassification`, `*ForTokenClassification`, and three dots. What do the dots
# hide? The library keeps a table for each head: from a model type such as `bert` to the class that carries the head.
# Before you run this: for which head will the most kinds of models have a class, and how many does BERT have?

# %%
from transformers.models.auto import modeling_auto

tables = {
    name.removeprefix("MODEL_FOR_").removesuffix("_MAPPING_NAMES"): dict(getattr(modeling_auto, name))
    for name in dir(modeling_auto)
    if name.startswith("MODEL_FOR_") and name.endswith("_MAPPING_NAMES")
}
kinds = pd.Series({head: len(table) for head, table in tables.items()}).sort_values()
of_bert = {head: table["bert"] for head, table in tables.items() if "bert" in table}
print(f"{len(tables)} tables; BERT stands in {len(of_bert)} of them")
pd.Series(of_bert, name="BERT's class").to_frame()

# %%
import matplotlib.pyplot as plt

most = kinds.tail(20)
figure, axes = plt.subplots(figsize=(7.6, 4.8))
axes.barh(most.index, most, color=["#0072B2" if head in of_bert else "#BBBBBB" for head in most.index])
axes.set(xlabel="model types in this table")
axes.grid(axis="y", visible=False)
axes.set_title("Most of the long bars are heads for text (blue: BERT is in it)");

# %% [markdown]
# Each bar is one table, the twenty longest of all; most of the grey ones are for images and speech. (`IMAGE`,
# `BACKBONE` and `TEXT_ENCODING` are no heads: these tables name bodies.) In BERT's column all but two names follow the
# rule *model + `For` + head*: `BertModel`, the bare body, and `BertLMHeadModel`, the causal language model. Before you
# run this: how many classes in all these tables end in `ForSeq2SeqLM`?

# %%
from collections import Counter

def ending(name) -> str:
    name = name if isinstance(name, str) else name[0]  # a few types offer more than one class
    return name[name.rindex("For"):] if "For" in name else name

classes = {name for table in tables.values() for name in table.values() if isinstance(name, str)}
print("end in ForSeq2SeqLM:", sum(name.endswith("ForSeq2SeqLM") for name in classes))
for head in ("SEQ_TO_SEQ_CAUSAL_LM", "CAUSAL_LM"):
    print(head, Counter(map(ending, tables[head].values())).most_common(4))

# %% [markdown]
# None. `AutoModelForSeq2SeqLM` exists, but behind it stand classes that end in `ForConditionalGeneration`, and some
# with names of their own, such as `MarianMTModel`. The suffix is a good habit, not a law: the tables know better.
#
# <!-- T318 -->
# One more sentence that goes round: GPT is a *causal language model*, and that is something else than *text
# generation*. Before you run this: which class does the library itself load for text generation?

# %%
from transformers.pipelines import PIPELINE_REGISTRY

_, task, _ = PIPELINE_REGISTRY.check_task("text-generation")
print([auto.__name__ for auto in task["pt"]], task["pt"][0]._model_mapping[transformers.GPT2Config].__name__)
for name in ("GPT2LMHeadModel", "MarianMTModel", "BertForMaskedLM"):
    print(f"{name:16} can generate: {getattr(transformers, name).can_generate()}")

# %% [markdown]
# `AutoModelForCausalLM`, and with GPT-2 that is GPT-2 with its language-model head. One is the **head**, the other the
# **task** that it serves. An encoder with a decoder can generate, too; that GPT has only a decoder is no difference
# between the two words.
#
# ### Exercise 7.1
# Write `split_name(class_name)`. A name is either *model + `For` + head* or *model + `Model`*. Return a tuple of the
# model's part and the head's part; without a head, the second is `None`. For example, `"BertForTokenClassification"`
# gives `("Bert", "TokenClassification")` and `"BertModel"` gives `("Bert", None)`. Some models have *For* or *for* in
# their own name, such as `RoFormer` and `Longformer`; no head has a capital *For*.

# %% tags=["exercise"]
def split_name(class_name: str) -> tuple[str, str | None]:
    """The model's part and the head's part of a class name; None where there is no head."""
    # BEGIN SOLUTION
    if class_name.endswith("Model"):
        return class_name.removesuffix("Model"), None
    model_part, _, head_part = class_name.rpartition("For")
    return model_part, head_part
    # END SOLUTION

# %% tags=["check"]
lab.check("7.1", split_name)

# %% [markdown]
# `lab.hint("7.1")` helps.

# %% [markdown]
# ## 7.2 One body, every head
# <!-- T121 -->
# Eight `AutoModelFor…` classes, one checkpoint. Our encoder's checkpoint has a body and no head, so every head is new.
# Before you run this: which heads will answer with one row for each **text**, and which with one for each **token**?

# %%
names = ["SequenceClassification", "TokenClassification", "QuestionAnswering", "MultipleChoice",
         "MaskedLM", "CausalLM", "NextSentencePrediction", "PreTraining"]
settings = {name: {"num_labels": 3} for name in ("SequenceClassification", "TokenClassification")}
heads, reports = {}, {}
torch.manual_seed(0)
for name in names:
    auto = getattr(transformers, f"AutoModelFor{name}")
    heads[name], reports[name] = auto.from_pretrained(
        encoder, revision=encoder.revision, output_loading_info=True, **settings.get(name, {}))
    heads[name].eval()

# %%
first = ["A red bus stops at the corner.", "Nobody has read the letter."]
second = ["Six people get off.", "It lies under the doormat, still sealed."]
pairs = tokenizer(first, second, padding=True, return_tensors="pt")
choices = {key: value[None] for key, value in pairs.items()}  # one example with two choices: [1, 2, length]
list(pairs["input_ids"].shape), list(choices["input_ids"].shape)

# %%
rows = {}
for name, model in heads.items():
    with torch.inference_mode():
        out = model(**(choices if name == "MultipleChoice" else pairs))
    new = {model.get_parameter(key) for key in reports[name]["missing_keys"]}  # tied ones once
    rows[name] = {
        "class": type(model).__name__,
        "comes out": ", ".join(f"{key} {list(value.shape)}" for key, value in out.items()),
        "new numbers": f"{sum(weight.numel() for weight in new):,}",
    }
pd.DataFrame(rows).T

# %% [markdown]
# Two texts of the same padded length, three labels, 30,522 words. A **text** head gives `[texts, labels]`, a **token**
# head `[texts, tokens, labels]`; question answering gives two numbers for each token, in two tensors; multiple choice
# one number for each choice; a language model a number for each token and word. `PreTraining` is two heads together: a
# masked-language-model head and a next-sentence head.
#
# The last column counts what the checkpoint doesn't have: nobody has trained it. It is small: 22 million parameters in
# the body, about a thousand in a classifier. The language-model heads are larger: before the words comes one more
# square layer, the *transform*, 384 × 384, and then one bias for each word. Their big matrix is not in the list: it is
# the embedding matrix, used a second time (chapter 06).
#
# Are the bodies really the same? And which of the body's vectors does each head read? Follow the gradient: a token
# whose vector the head doesn't read gets a gradient of zero. Before you run this: which head reads only `[CLS]`?

# %%
one = tokenizer(first[0], return_tensors="pt")
marks, reads, vectors = tokenizer.convert_ids_to_tokens(one["input_ids"][0]), [], []
for name, model in heads.items():
    inputs = {key: value[None] for key, value in one.items()} if name == "MultipleChoice" else one
    out = model(**inputs, output_hidden_states=True)
    last = out.hidden_states[-1]                                            # [1, tokens, width]
    score = sum(value.sum() for key, value in out.items() if key != "hidden_states")
    slope = torch.autograd.grad(score, last)[0].norm(dim=-1)[0]             # [tokens]
    reads.append((slope > 0).float())
    vectors.append(last.detach())
assert all(torch.equal(vectors[0], other) for other in vectors)
lab.heatmap(torch.stack(reads), rows=names, columns=marks, title="Yellow: the head reads this token's vector")

# %% [markdown]
# Each row is a head, each column a token. The vectors are equal to the last bit in all eight models: the heads differ,
# the body doesn't. Three heads read nothing but `[CLS]`: sequence classification, multiple choice, next sentence. You
# may read that this vector goes straight into a linear layer. In BERT's own classifier one more layer stands between,
# the **pooler** (a square matrix and a tanh). You can see it:

# %%
classifier = heads["SequenceClassification"]
with torch.inference_mode():
    last = classifier.bert(**one).last_hidden_state                  # [1, tokens, 384]
    straight = classifier.classifier(last[:, 0])                     # as you may read
    pooled = classifier.bert.pooler.dense(last[:, 0]).tanh()         # [1, 384]
    through = classifier.classifier(pooled)
    logits = classifier(**one).logits
torch.allclose(straight, logits, atol=1e-3), torch.allclose(through, logits, atol=1e-6)

# %% [markdown]
# A last look at the table: `CausalLM` gave logits like the others. Should it? We had asked the library to be quiet; a
# tiny one of the kind, with the log switched on:

# %%
logging.set_verbosity_warning()
tiny = transformers.BertConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12)
transformers.BertLMHeadModel(tiny)
logging.set_verbosity_error()

# %% [markdown]
# BERT's body looks to both sides, so such a model knows the next word before it has to guess it. A causal model needs
# the switch `is_decoder=True`, and training (chapter 06).
#
# ### Exercise 7.2
# Write `logits_shape(head, batch, length, num_labels, vocab_size, num_choices)`. `head` is one of
# `"SequenceClassification"`, `"TokenClassification"`, `"QuestionAnswering"` (return the shape of `start_logits`),
# `"MultipleChoice"`, `"MaskedLM"`, `"CausalLM"`, `"NextSentencePrediction"`. Return the shape as a tuple. For example,
# for `"TokenClassification"` with `batch=2`, `length=16` and `num_labels=3` it is `(2, 16, 3)`, whatever the other
# numbers are.

# %% tags=["exercise"]
def logits_shape(
    head: str, batch: int, length: int, num_labels: int, vocab_size: int, num_choices: int
) -> tuple[int, ...]:
    """The shape of the logits that a BERT with this head returns."""
    # BEGIN SOLUTION
    by_head = {
        "SequenceClassification": (batch, num_labels),
        "TokenClassification": (batch, length, num_labels),
        "QuestionAnswering": (batch, length),
        "MultipleChoice": (batch, num_choices),
        "MaskedLM": (batch, length, vocab_size),
        "CausalLM": (batch, length, vocab_size),
        "NextSentencePrediction": (batch, 2),
    }
    return by_head[head]
    # END SOLUTION

# %% tags=["check"]
lab.check("7.2", logits_shape)

# %% [markdown]
# `lab.hint("7.2")` helps.

# %% [markdown]
# ## 7.3 No head: features
# <!-- T122 -->
# With no head the model returns vectors. That is useful by itself: no training, no labels, and any method you like on
# top. Here are short texts on eight topics. Before you run this: will texts on the same topic lie together, though
# nobody told the body what a topic is?

# %% tags=["long"] why="four ways to make one vector of a text, side by side"
from tqdm.auto import tqdm

def features(model, texts: list[str]) -> dict[str, torch.Tensor]:
    """Of each text [CLS], the pooler's vector, the mean and the maximum over real tokens: each [texts, width]."""
    found = {"[CLS]": [], "pooler": [], "mean": [], "max": []}
    for begin in tqdm(range(0, len(texts), 32), desc="features", leave=False):
        batch = tokenizer(texts[begin:begin + 32], padding=True, truncation=True, max_length=32, return_tensors="pt")
        with torch.no_grad():
            out = model(**batch)
        mask = batch["attention_mask"][..., None]                              # [texts, tokens, 1]
        found["[CLS]"].append(out.last_hidden_state[:, 0])
        found["pooler"].append(out.pooler_output)
        found["mean"].append((out.last_hidden_state * mask).sum(dim=1) / mask.sum(dim=1))
        found["max"].append(out.last_hidden_state.masked_fill(mask == 0, float("-inf")).max(dim=1).values)
    return {name: torch.cat(parts) for name, parts in found.items()}

# %%
from datasets import load_dataset

topics = lab.dataset("topics")
data = load_dataset(topics, revision=topics.revision)
topic_names = data["train"].features["label"].names
topic_labels = {split: torch.tensor(data[split]["label"][:]) for split in ("train", "test")}
topic_features = {split: features(body, list(data[split]["text"])) for split in ("train", "test")}
{name: list(vectors.shape) for name, vectors in topic_features["train"].items()}

# %%
centred = topic_features["train"]["mean"] - topic_features["train"]["mean"].mean(dim=0)
main = torch.linalg.svd(centred, full_matrices=False)[2][:2]                  # [2, width]
flat = centred @ main.T                                                       # [texts, 2]
figure, axes = plt.subplots(figsize=(7.6, 4.2))
for label, name in enumerate(topic_names):
    chosen = topic_labels["train"] == label
    axes.scatter(*flat[chosen].T, s=14, color=plt.get_cmap("tab10")(label), label=name)
axes.set(xlabel="first main direction", ylabel="second main direction")
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
axes.set_title("Texts on one topic lie together, with no head and no label");

# %% [markdown]
# Each dot is a text, seen in two of its 384 dimensions. Even this flat shadow has corners for politics, food and
# travel; what overlaps in the middle has 382 more dimensions to part. So an answer costs one line: for a new text take
# the topic of the **nearest** known text. Which of the four vectors is best for that? (*max* takes, in each dimension,
# the largest number of any token.)

# %%
nearest = {}
for name in topic_features["train"]:
    known, new = topic_features["train"][name], topic_features["test"][name]
    similar = torch.nn.functional.normalize(new, dim=-1) @ torch.nn.functional.normalize(known, dim=-1).T
    guess = topic_labels["train"][similar.argmax(dim=-1)]  # similar: cosines, [new, known]
    nearest[name] = (guess == topic_labels["test"]).float().mean().item()
pd.Series(nearest, name="share of new texts right").to_frame().style.format("{:.0%}")

# %% [markdown]
# A blind guess gets one in eight. The mean over the tokens wins by a distance: this encoder was trained for sentence
# vectors, and as means. Its pooler was left behind. The maximum comes last: one loud token speaks for the whole text.
# The pooler is the last layer of `BertModel`, but its output is no better a summary for being last. Whether it means
# anything depends on how the body was trained.
#
# ### Exercise 7.3
# Write `nearest_centroid(known, labels, new)`. `known` `[n, width]` are features with `labels` `[n]` (integers,
# possibly with gaps), `new` `[m, width]` are features without. For each label take the mean of its known features (its
# *centroid*), and return a tensor `[m]`: for each new row the label of the centroid at the smallest Euclidean distance.
# For example, `known=[[0., 0.], [0., 2.], [9., 9.]]` with `labels=[3, 3, 7]` has the centroids `(0, 1)` and `(9, 9)`,
# so `new=[[1., 1.], [8., 9.]]` gives `[3, 7]`.

# %% tags=["exercise"]
def nearest_centroid(known: torch.Tensor, labels: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """For each new row [m, width] the label whose mean known vector is nearest: [m]."""
    # BEGIN SOLUTION
    found = labels.unique()
    centroids = torch.stack([known[labels == label].mean(dim=0) for label in found])
    return found[torch.cdist(new, centroids).argmin(dim=-1)]
    # END SOLUTION

# %% tags=["check"]
lab.check("7.3", nearest_centroid)

# %% [markdown]
# `lab.hint("7.3")` helps. What you wrote is a classification head without any training.

# %% [markdown]
# ## 7.4 AutoModel or AutoModelForSequenceClassification?
# <!-- T128 -->
# The two are often compared in a table: purpose, structure, use, output, loading. Before you run this: which rows of
# such a table can a program fill in by itself? Take the same text and the same label for both.

# %%
def describe(model) -> dict:
    """What can be measured about a model."""
    with torch.inference_mode():
        out = model(**one)
    return {
        "class": type(model).__name__,
        "parameters": f"{model.num_parameters():,}",
        "modules at the top": ", ".join(name for name, _ in model.named_children()),
        "fields of the output": ", ".join(out),
        "shape of the first field": list(out[0].shape),
        "takes labels, gives a loss": "labels" in inspect.signature(model.forward).parameters,
    }

# %%
import inspect

pd.DataFrame({"AutoModel": describe(body), "AutoModelForSequenceClassification": describe(classifier)})

# %% [markdown]
# Loading is the same call; only the class differs. The second has the first inside, as its attribute `bert`, with a
# dropout and one linear layer behind it. It knows what a label is, and so it can compute a loss. Does that make
# `AutoModelForSequenceClassification` a **subclass** of `AutoModel`, as some say?

# %%
print("a subclass:", issubclass(AutoModelForSequenceClassification, AutoModel))
for auto in (AutoModel, AutoModelForSequenceClassification):
    chosen = auto._model_mapping[type(body.config)]
    print([parent.__name__ for parent in auto.__mro__[1:-1]], "→", chosen.__name__)
    with lab.expect_error(OSError):
        auto()
isinstance(classifier, AutoModelForSequenceClassification), isinstance(classifier, transformers.BertPreTrainedModel)

# %% [markdown]
# No: they are siblings, children of one base class, each with a table of its own. And no model is an *instance* of
# either, as neither can be made: an auto class looks up another class, and hands you an object of that.
#
# Some say that `AutoModel` is *only the encoder part*. For BERT that is all there is. Before you run this: what does
# `AutoModel` make of a chat model, and of a translator?

# %%
for role in ("encoder", "llm", "translator"):
    source = lab.checkpoint(role)
    model = AutoModel.from_pretrained(source, revision=source.revision, dtype=torch.float32)
    print(f"{role:11} {type(model).__name__:12} {[name for name, _ in model.named_children()]}")
del model

# %% [markdown]
# A whole decoder (Llama's: the embedding, thirty layers, the last norm), and an encoder **with** its decoder (Marian).
# `AutoModel` means *the model without its head*, whatever the body is made of. (Some kinds have no class without a
# head; for these it gives one with it.) And not every body has every head. The tables of section 7.1 say which:

# %%
for kind in ("bert", "llama", "marian"):
    print(f"{kind:7}", ", ".join(head for head, table in tables.items() if kind in table))
print("Marian as a classifier:", transformers.MarianConfig in AutoModelForSequenceClassification._model_mapping)
bare = [name for name in modeling_auto.MODEL_MAPPING_NAMES.values() if isinstance(name, str)]
print("AutoModel, and yet a head:", [name for name in bare if name.endswith("ForCTC")])

# %% [markdown]
# For Marian there is no classification head, so `AutoModelForSequenceClassification` refuses it. The last line shows
# classes with a head that `AutoModel` gives for some kinds of model.

# %% [markdown]
# ## 7.5 How many labels, and what are they called?
# <!-- T123 -->
# The head's width is `config.num_labels`. Before you run this: what is it if you say nothing, and what are the labels'
# names?

# %%
def loaded(**given):
    """The encoder with a classification head; `given` goes into its config."""
    return AutoModelForSequenceClassification.from_pretrained(encoder, revision=encoder.revision, **given).eval()

tries = {
    "nothing": {},
    "num_labels=3": {"num_labels": 3},
    "id2label of 3": {"id2label": {0: "bad", 1: "fair", 2: "good"}},
    "num_labels=5, id2label of 3": {"num_labels": 5, "id2label": {0: "bad", 1: "fair", 2: "good"}},
    "id2label of 3, num_labels=5": {"id2label": {0: "bad", 1: "fair", 2: "good"}, "num_labels": 5},
}

# %%
rows = {}
for name, given in tries.items():
    config = (model := loaded(**given)).config
    rows[name] = {"head": model.classifier.out_features, "id2label": config.id2label, "label2id": config.label2id}
pd.DataFrame(rows).T

# %% [markdown]
# Two labels, `LABEL_0` and `LABEL_1`, if you say nothing. `id2label` sets the width by itself. Where it and
# `num_labels` disagree, the one you wrote **last** wins, without a word: in the last row your three names are lost. So
# give only one of them. Now read the last column: it keeps the default names. **`id2label` doesn't fill `label2id`.**
# Give both, always:

# %%
named = loaded(
    id2label=dict(enumerate(topic_names)), label2id={name: label for label, name in enumerate(topic_names)}
)
print(named.config.num_labels, named.config.id2label)
with torch.inference_mode():
    guess = int(named(**one).logits.argmax())
named.config.id2label[guess], named.config.label2id[named.config.id2label[guess]] == guess

# %% [markdown]
# The answer above is one that nobody has trained: a name makes no knowledge. But the names travel with the model.
# Before you run this: what type have the keys of `id2label` in the saved file, and what type after loading?

# %%
import json
import tempfile
from pathlib import Path

box = tempfile.TemporaryDirectory()
named.save_pretrained(Path(box.name, "named"))
saved = json.loads(Path(box.name, "named", "config.json").read_text("utf-8"))
again = transformers.AutoConfig.from_pretrained(Path(box.name, "named"))
list(saved["id2label"])[:3], list(again.id2label)[:3], "num_labels" in saved, again.num_labels

# %% [markdown]
# JSON knows only text as a key, and the library turns it back into numbers. `num_labels` is not in the file at all: it
# is the length of `id2label`.
#
# ### Exercise 7.4
# Write `label_maps(column)`: it gets the label of every row of a data set, as strings, in any order and with
# repetitions; all are words in small letters. Return `(id2label, label2id)` for a config. Number the labels from 0 in
# **alphabetical order**, so that two machines that read the rows in a different order agree. For example,
# `["joy", "anger", "joy"]` gives `({0: "anger", 1: "joy"}, {"anger": 0, "joy": 1})`.

# %% tags=["exercise"]
def label_maps(column: list[str]) -> tuple[dict[int, str], dict[str, int]]:
    """id2label and label2id for the labels in a column, numbered in alphabetical order."""
    # BEGIN SOLUTION
    ordered = sorted(set(column))
    return dict(enumerate(ordered)), {word: number for number, word in enumerate(ordered)}
    # END SOLUTION

# %% tags=["check"]
lab.check("7.4", label_maps)

# %% [markdown]
# `lab.hint("7.4")` helps. A `set` alone would not do: the order of its strings may change from one start of Python to
# the next.

# %% [markdown]
# ## 7.6 Three problems, three losses
# <!-- T124 -->
# You may read: with `num_labels=1` it is regression, otherwise classification. There is a third case, and there are two
# traps. The same head can answer *how much* (regression), *which one* (single label) or *which ones* (multi-label);
# only the loss differs. Before you run this: how does the model know which you mean?

# %%
texts = tokenizer(first, padding=True, return_tensors="pt")
answers = {
    "regression": (1, torch.tensor([0.5, 4.0])),                 # a number for each text: [2], float
    "single_label_classification": (3, torch.tensor([2, 0])),    # a class for each text: [2], integer
    "multi_label_classification": (3, torch.tensor([[1., 0., 1.], [0., 0., 0.]])),  # yes or no: [2, 3], float
}

# %%
kept, rows = {}, {}
for problem, (width, labels) in answers.items():
    torch.manual_seed(1)
    model = loaded(num_labels=width)
    before = model.config.problem_type
    with torch.inference_mode():
        out = model(**texts, labels=labels)
    kept[problem] = (out.logits, labels, out.loss.item())
    rows[problem] = {"before": before, "after": model.config.problem_type, "loss": out.loss.item()}
pd.DataFrame(rows).T

# %% [markdown]
# It decides at the first batch, from the head's width and the **type** of the labels, and writes its decision into the
# config. Now the same three numbers from the definitions: a mean of squares, the surprise at the right class, and a
# yes-or-no surprise for every label.

# %%
(logits, target, _), by_hand = kept["regression"], {}
by_hand["regression"] = ((logits[:, 0] - target) ** 2).mean()
logits, target, _ = kept["single_label_classification"]
by_hand["single_label_classification"] = -logits.softmax(dim=-1)[[0, 1], target].log().mean()
logits, target, _ = kept["multi_label_classification"]
yes = 1 / (1 + (-logits).exp())  # sigmoid: each label by itself
by_hand["multi_label_classification"] = -(target * yes.log() + (1 - target) * (1 - yes).log()).mean()
compared = pd.DataFrame({"by hand": pd.Series(by_hand).map(float), "library": {k: v[2] for k, v in kept.items()}})
assert (compared["by hand"] - compared["library"]).abs().max() < 1e-5  # float32, a handful of terms
compared

# %%
moved, zero = torch.linspace(-6, 6, 121), torch.zeros(121)
three = torch.stack([moved, zero, zero], dim=-1)  # the right class's logit moves, two others stay at 0
curves = {
    "regression: the target is 1": ((moved - 1) ** 2, (3.9, 7.3)),
    "single label: the right class": (-three.log_softmax(dim=-1)[:, 0], (-5.9, 7.1)),
    "multi-label: a label that holds": (-torch.nn.functional.logsigmoid(moved), (-5.9, 1.4)),
}

# %%
figure, axes = plt.subplots(figsize=(8, 3.6))
for name, (curve, place) in curves.items():
    line, = axes.plot(moved, curve)
    axes.text(*place, name, color=line.get_color())
axes.set(xlabel="logit", ylabel="loss", ylim=(0, 8), xlim=(-6, 8))
axes.set_title("Only the squared error punishes a logit for being too large");

# %% [markdown]
# Look at the right-hand side. For the right class, a larger logit is better, and the loss fades to zero. For a
# regression a logit is the answer itself: above the target it is wrong again. (That is why you don't put classes 0 … 4
# into a one-number head without thinking.)
#
# Now the first trap. `[[1, 0, 1], [0, 0, 0]]` are the same multi-label answers, written as integers, as a data set
# often holds them:

# %%
whole_numbers = torch.tensor([[1, 0, 1], [0, 0, 0]])
model = loaded(num_labels=3)
with lab.expect_error(ValueError):
    model(**texts, labels=whole_numbers)
print("the model has decided:", model.config.problem_type)
with lab.expect_error(ValueError):
    model(**texts, labels=whole_numbers.float())

# %% [markdown]
# The integers look like class numbers, six of them. And the decision stays: now even the right labels fail. So don't
# let the first batch decide. Say it when you load, and turn the labels into floats:

# %%
model = loaded(num_labels=3, problem_type="multi_label_classification")
with torch.inference_mode():
    out = model(**texts, labels=whole_numbers.float())
chances = out.logits.sigmoid()
out.loss.item(), chances.sum(dim=-1)

# %% [markdown]
# Read a multi-label head with a sigmoid for each label, not with a softmax: the chances of a row need not sum to 1.
#
# The second trap: a regression with **several** numbers for each text, say stars for room, food and staff. Before you
# run this: the labels are floats of shape `[2, 3]`. Which problem will the model see in them?

# %%
stars = torch.tensor([[4.5, 2.0, 5.0], [1.0, 3.5, 2.5]])
for problem in (None, "regression"):
    torch.manual_seed(1)
    model = loaded(num_labels=3, problem_type=problem)
    with torch.inference_mode():
        out = model(**texts, labels=stars)
    print(f"{model.config.problem_type:27} loss {out.loss.item():.3f}")
assert torch.allclose(out.loss, ((out.logits - stars) ** 2).mean())  # the mean over all six squares

# %% [markdown]
# Unasked, it takes the stars for six times yes or no. With `problem_type="regression"` a head may have any width, and
# the loss is the mean of all the squares.
#
# ### Exercise 7.5
# Write `multi_label_loss(logits, targets)`: both are `[texts, labels]`, `targets` hold 0s and 1s, perhaps as integers.
# Return the mean of the binary cross-entropy over all entries, a scalar tensor. The formula of the cell above gives
# `nan` or `inf` where a logit is 200, because `log(0)` comes up. Yours stays right for logits of ±1000: a wrong answer
# at 1000 costs 1000. For example, `logits=[[0., 0.]]` and `targets=[[1, 0]]` give `log 2`, about 0.693. Do it without
# `torch`'s own loss functions; `logsigmoid` or `softplus` is fine.

# %% tags=["exercise"]
def multi_label_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy of logits against 0/1 targets, both [texts, labels]; safe for large logits."""
    # BEGIN SOLUTION
    right_way = logits * (2 * targets - 1)
    return torch.nn.functional.softplus(-right_way).mean()
    # END SOLUTION

# %% tags=["check"]
lab.check("7.5", multi_label_loss)

# %% [markdown]
# `lab.hint("7.5")` helps.

# %% [markdown]
# ## 7.7 Every head's loss by hand
# <!-- T121 T124 -->
# All the other heads share **one** loss: cross-entropy, the mean of −log p(right). They differ in what is a class and
# which positions count. Before you run this: for which heads is the class a *position* in the text?

# %%
def surprise(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean of -log p(label) over all places whose label isn't -100. logits [..., classes], labels [...]."""
    counts = labels != -100
    log_p = logits[counts].log_softmax(dim=-1)                               # [places, classes]
    return -log_p.gather(dim=-1, index=labels[counts][:, None]).mean()

# %%
real = pairs["attention_mask"].bool()
ids = pairs["input_ids"]
places = torch.arange(ids.shape[1])
tags = torch.where(real, places % 3, -100)                      # a made-up tag for each real token
hidden_words = torch.where(places % 5 == 2, ids, -100)          # every fifth token is to be guessed
next_words = torch.where(real, ids, -100)
follows, start, end = torch.tensor([0, 1]), torch.tensor([2, 4]), torch.tensor([3, 9])

# %% [markdown]
# What each head is given, and what each loss then is. Only three lines differ from *surprise at the label*:

# %%
given = {
    "SequenceClassification": {"labels": torch.tensor([2, 0])},
    "TokenClassification": {"labels": tags},
    "QuestionAnswering": {"start_positions": start, "end_positions": end},
    "MultipleChoice": {"labels": torch.tensor([1])},
    "MaskedLM": {"labels": hidden_words},
    "CausalLM": {"labels": next_words},
    "NextSentencePrediction": {"labels": follows},
    "PreTraining": {"labels": hidden_words, "next_sentence_label": follows},
}

# %%
formulas = {
    "SequenceClassification": lambda out: surprise(out.logits, torch.tensor([2, 0])),
    "TokenClassification": lambda out: surprise(out.logits, tags),
    "QuestionAnswering": lambda out: sum(map(surprise, (out.start_logits, out.end_logits), (start, end))) / 2,
    "MultipleChoice": lambda out: surprise(out.logits, torch.tensor([1])),
    "MaskedLM": lambda out: surprise(out.logits, hidden_words),
    "CausalLM": lambda out: surprise(out.logits[:, :-1], next_words[:, 1:]),
    "NextSentencePrediction": lambda out: surprise(out.logits, follows),
    "PreTraining": lambda out: surprise(out.prediction_logits, hidden_words)
    + surprise(out.seq_relationship_logits, follows),
}

# %%
import math

rows = {}
for name, model in heads.items():
    with torch.inference_mode():
        out = model(**(choices if name == "MultipleChoice" else pairs), **given[name])
    rows[name] = {"library": out.loss.item(), "by hand": formulas[name](out).item()}
losses = pd.DataFrame(rows).T
losses["as lost as a guess among"] = losses["library"].map(math.exp)
assert (losses["library"] - losses["by hand"]).abs().max() < 1e-4  # float32; the sums go over 30,522 words
losses.style.format("{:.4f}").format("{:,.0f}", subset=["as lost as a guess among"])

# %% [markdown]
# Eight times the same number, from one small function. The last column is *e* to the loss: an untrained head is as lost
# as a blind guess among so many. Among three labels that is about three, for a span (here alone the class is a
# position) about the number of positions, for a word more than the whole vocabulary: random weights are worse than a
# shrug. `PreTraining` adds two losses, so its blind guesses multiply.

# %% [markdown]
# ## 7.8 Multiple choice: one more dimension
# <!-- T127 -->
# Which of three sentences goes on with a story? Each choice is a pair of its own, *prompt + choice*, so the input has
# three dimensions: `[batch, choices, length]`. Before you run this: how many sequences does the **body** see, for a
# batch of two questions with three choices each?

# %%
prompts = ["The kettle begins to whistle.", "It has snowed all night."]
ways_on = [
    ["She pours the water over the tea.", "The train leaves from platform two.", "He sells his old guitar."],
    ["The soup needs salt.", "The children look for the sledge.", "The lawyer signs the contract."],
]
flat_prompts = [prompt for prompt in prompts for _ in range(3)]
flat_choices = [choice for row in ways_on for choice in row]
flat_batch = tokenizer(flat_prompts, flat_choices, padding=True, return_tensors="pt")  # [6, length]
questions = {name: value.view(2, 3, -1) for name, value in flat_batch.items()}  # [2, 3, length]
lab.shapes(heads["MultipleChoice"], depth=2, **questions)

# %% [markdown]
# Read the shapes: the head's model gets `[2, 3, length]`, and the body sees six sequences. The model lays the choices
# out in one long batch, gives each **one** number, and folds the numbers back to `[2, 3]`. Do it by hand:

# %%
chooser = heads["MultipleChoice"]
with torch.inference_mode():
    pooled = chooser.bert(**flat_batch).pooler_output                # [6, 384]
    by_hand = chooser.classifier(pooled).view(2, 3)                  # one number each, folded
    library = chooser(**questions).logits
assert torch.allclose(by_hand, library, atol=1e-5)                   # the same float32 operations
library, library.softmax(dim=-1)

# %% [markdown]
# The softmax runs over the **choices**: they compete, and the chances of each row sum to 1. (The head is untrained, so
# all are near a third.) This is why the head needs no `num_labels`: three choices or five, it is always one number
# each. And it is why memory runs out sooner: the body's batch is as many times larger as there are choices.
#
# Before you run this: what happens if you forget the dimension, and give the six sequences as they are?

# %%
with lab.expect_error(RuntimeError):
    chooser(**flat_batch)
square = {name: value[:, :6] for name, value in flat_batch.items()}  # six sequences of six tokens
with torch.inference_mode():
    shape = chooser(**square).logits.shape
list(square["input_ids"].shape), list(shape)

# %% [markdown]
# The model takes the second dimension for the choices. Here the numbers don't fit, and you get an error. With as many
# sequences as tokens, or twice as many, they do, and you get nonsense without a word.
#
# ### Exercise 7.6
# Write `encode_choices(tokenizer, prompts, choices)`: `prompts` is a list of B strings, `choices` a list of B lists
# with C strings each. Encode each choice as the second text of a pair with its prompt, pad all to one length, and
# return a dictionary of tensors, each `[B, C, length]`, that a multiple-choice model takes with `model(**result)`. For
# example, one prompt with two choices gives `input_ids` of shape `[1, 2, length]`.

# %% tags=["exercise"]
def encode_choices(tokenizer, prompts: list[str], choices: list[list[str]]) -> dict[str, torch.Tensor]:
    """Each prompt paired with each of its choices: tensors of shape [batch, choices, length]."""
    # BEGIN SOLUTION
    width = len(choices[0])
    left = [text for text in prompts for _ in range(width)]
    right = [text for several in choices for text in several]
    encoded = tokenizer(left, right, padding=True, return_tensors="pt")
    return {key: tensor.view(len(prompts), width, -1) for key, tensor in encoded.items()}
    # END SOLUTION

# %% tags=["check"]
lab.check("7.6", encode_choices)

# %% [markdown]
# `lab.hint("7.6")` helps.

# %% [markdown]
# ## 7.9 Question answering: two positions, and labels out of range
# <!-- T127 -->
# The extractive head marks an answer in a text: one number for each token as a possible **start**, one as a possible
# **end**. The pair is a question and the *text with the answer in it* (not question and answer, as you may read; the
# answer is what we look for). Before you run this: the data give the answer's first **character**. How do you get to
# tokens?

# %%
asked = lab.dataset("questions")
rows = load_dataset(asked, split="train", revision=asked.revision)
row = min((row for row in rows if row["answers"]["text"]), key=lambda row: len(row["context"]))  # a short one
answer, begins = row["answers"]["text"][0], row["answers"]["answer_start"][0]
encoded = tokenizer(row["question"], row["context"], return_tensors="pt")
start = encoded.char_to_token(begins, sequence_index=1)
end = encoded.char_to_token(begins + len(answer) - 1, sequence_index=1)
length = encoded["input_ids"].shape[1]
found = tokenizer.decode(encoded["input_ids"][0, start:end + 1])
row["question"], answer, found, f"tokens {start} to {end} of {length}"

# %% [markdown]
# The labels are positions, so a text that is cut too short can leave them outside. The source calls `clamp` on such
# labels, as if to squeeze them into the legal range. Is that so? Give the model every second start label from −8 to
# eight behind the end, and draw the loss. Before you run this: what do you expect on the far left, and on the far
# right?

# %%
source = inspect.getsource(transformers.BertForQuestionAnswering.forward)
print(*[line.strip() for line in source.splitlines() if "clamp" in line], sep="\n")
qa, loss_at, label_end = heads["QuestionAnswering"], {}, torch.tensor([end])
for position in range(-8, length + 8, 2):
    label = torch.tensor([position])
    with torch.inference_mode():
        loss_at[position] = qa(**encoded, start_positions=label, end_positions=label_end).loss.item()

# %%
curve = pd.Series(loss_at)
figure, axes = plt.subplots()
axes.plot(curve.index, curve, ".-", markersize=4)
for left, right, words in ((-8, 0, "counts as [CLS]"), (length, length + 8, "ignored: nan")):
    axes.axvspan(left, right, color="#E69F00", alpha=0.25)
    axes.text((left + right) / 2, curve.max(), words, rotation=90, va="top", ha="center")
axes.set(xlabel="start label (position)", ylabel="loss of the example")
axes.set_title("Left of the text: the loss of [CLS]. Right of it: no loss at all");

# %% [markdown]
# In the left strip the line is flat: every negative label counts as position 0, `[CLS]`. In the right strip there is no
# line. The model squeezes a label that is too large to `length`, **one behind the last token**, and tells its loss to
# ignore exactly that number. So a label behind the end is not moved into the text, it is left out. In a batch, the
# others still count. If none is left, the loss is a mean over nothing:

# %%
two = tokenizer([row["question"]] * 2, [row["context"]] * 2, return_tensors="pt")
ends = torch.tensor([end, end])
with torch.inference_mode():
    usual = qa(**two, start_positions=torch.tensor([start, start]), end_positions=ends).loss
    half = qa(**two, start_positions=torch.tensor([start, 9_999]), end_positions=ends).loss
    none = qa(**two, start_positions=torch.tensor([9_999, 9_999]), end_positions=ends).loss
usual.item(), half.item(), none.item()

# %% [markdown]
# The first two are equal, because the two examples are the same and one of them was left out. The third is `nan`.
# Before you run this: what does one training step with it do to the weights?

# %%
loss = qa(**two, start_positions=torch.tensor([9_999, 9_999]), end_positions=ends).loss
loss.backward()
slopes = [weight.grad for weight in qa.parameters() if weight.grad is not None]
ruined = sum(not bool(slope.isfinite().all()) for slope in slopes)
qa.zero_grad()
print(f"loss {loss.item()}: {ruined} of {len(slopes)} gradients hold a nan or inf")
sum([usual.item(), loss.item(), half.item()]) / 3

# %% [markdown]
# It spoils none of them: a label that is left out sends zeros back, and the ends still teach. The `nan` is in the
# number only. But that number spoils what you compute from it: a mean of losses, as in the last line. So check your
# labels before you train: an answer that was cut away belongs to `[CLS]` (position 0, *no answer here*), or out of the
# batch.
#
# Last, a trap in the head's width. Its two numbers are `num_labels=2`. A classifier takes any other number; this head
# doesn't:

# %%
with lab.expect_error(ValueError):
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(
        encoder, revision=encoder.revision, num_labels=3)
    model(**encoded)

# %% [markdown]
# ### Exercise 7.7
# Write `span_loss(start_logits, end_logits, starts, ends)`: the logits are `[batch, length]`, the labels `[batch]`.
# Treat the labels as the library does: a negative one counts as position 0; one that is `length` or more is ignored,
# and is not counted in the mean. Take the mean cross-entropy of the starts and that of the ends, each over its own
# labels that count, and return their average, a scalar tensor. In each batch at least one start and one end count. For
# example, with all logits 0 and a length of 8, the loss is `log 8`, whatever the labels.

# %% tags=["exercise"]
def span_loss(
    start_logits: torch.Tensor, end_logits: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor
) -> torch.Tensor:
    """The loss of logits [batch, length] and positions [batch], out-of-range ones included."""
    # BEGIN SOLUTION
    def one_side(scores, places):
        inside = places < scores.shape[1]
        chosen = places[inside].clamp(min=0)
        return -scores[inside].log_softmax(dim=-1)[torch.arange(len(chosen)), chosen].mean()

    return (one_side(start_logits, starts) + one_side(end_logits, ends)) / 2
    # END SOLUTION

# %% tags=["check"]
lab.check("7.7", span_loss)

# %% [markdown]
# `lab.hint("7.7")` helps.

# %% [markdown]
# ## 7.10 A head of your own
# <!-- T125 -->
# First read a head that somebody else wrote. `inspect.getsource` shows the source of any class of the library. Before
# you run this: which lines of BERT's own classifier belong to the body, and which are the head?

# %%
print(inspect.getsource(transformers.BertForSequenceClassification.__init__))
source = inspect.getsource(transformers.BertForSequenceClassification.forward)
begin = source.index("        outputs = self.bert(")
print(source[begin : source.index('            if self.config.problem_type == "regression"')], "           …")

# %% [markdown]
# One line for the body, `self.bert`; three for the head: `pooled_output`, `dropout`, `classifier`. Then the choice of
# the loss, as in section 7.6: by `num_labels` and the type of the labels, written into the config.
#
# Now a classifier as many tutorials write it by hand, `BertForCLS`. Before you run the cell after it: what will happen
# when you save this model and load it again?

# %%
from torch import nn
from transformers import BertModel, BertPreTrainedModel

heads = {"NextSentencePrediction": heads["NextSentencePrediction"]}  # lets the others go, about 90 MB each

# %% tags=["long"] why="a whole class, as many write it, is taken apart below"
class BertForCLS(BertPreTrainedModel):
    def __init__(self, config, args):
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, args.num_labels)
        self.post_init()

    def forward(self, batch_inputs, labels=None):
        outputs = self.bert(**batch_inputs)
        cls_vectors = self.dropout(outputs.last_hidden_state[:, 0, :])
        logits = self.classifier(cls_vectors)
        loss = nn.CrossEntropyLoss()(logits, labels) if labels is not None else None
        return loss, logits

# %%
from types import SimpleNamespace

as_noted = BertForCLS.from_pretrained(encoder, SimpleNamespace(num_labels=8), revision=encoder.revision)
loss, logits = as_noted(texts, labels=torch.tensor([1, 2]))
as_noted.save_pretrained(Path(box.name, "noted"))
saved = transformers.AutoConfig.from_pretrained(Path(box.name, "noted"))
print(list(logits.shape), "but the saved config says", saved.num_labels)
with lab.expect_error(TypeError):
    BertForCLS.from_pretrained(Path(box.name, "noted"))
with lab.expect_error(TypeError):
    as_noted(**texts)

# %% [markdown]
# It computes, and it can be trained. Three things stand in its way later. The number of labels is not in the config, so
# a saved model can't be loaded without knowing it from elsewhere. `forward` wants one dictionary, so nothing that calls
# `model(**batch)` can use it: no pipeline, no `Trainer`. And it returns a bare tuple. (Unlike the library's own
# classifier, it also leaves the pooler out and reads `[CLS]` directly. That is a choice, not a mistake: you saw what
# this encoder's pooler is worth.)
#
# The same head, made to fit the house. What a rebuilt model must know goes into the **config**; here the kind of
# pooling too:

# %% tags=["long"] why="a head of one's own is one whole class"
from transformers.modeling_outputs import SequenceClassifierOutput

class BertForTopics(BertPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask, labels=None, **others):
        vectors = self.bert(input_ids, attention_mask=attention_mask, **others).last_hidden_state
        mask = attention_mask[..., None]  # [texts, tokens, 1]
        mean = (vectors * mask).sum(dim=1) / mask.sum(dim=1)
        summary = vectors[:, 0] if self.config.pooling == "cls" else mean            # [texts, width]
        logits = self.classifier(self.dropout(summary))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)

# %% [markdown]
# Now train it on the topics. To stay quick, the embeddings and the four lower layers are **frozen**; the two upper
# layers and the head learn, for 28 steps of 16 texts: almost once through the data.

# %%
def untrained(pooling: str) -> BertForTopics:
    """The encoder with a fresh head for the topics; only the two upper layers and the head may learn."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(
        encoder, revision=encoder.revision, id2label=named.config.id2label, label2id=named.config.label2id)
    config.pooling = pooling
    model = BertForTopics.from_pretrained(encoder, config=config, revision=encoder.revision)
    model.bert.embeddings.requires_grad_(False)
    model.bert.encoder.layer[:4].requires_grad_(False)
    return model

# %%
def encode(texts: list[str]):
    return tokenizer(texts, padding=True, truncation=True, max_length=32, return_tensors="pt")

def accuracy(model) -> float:
    """Share of the test texts that the model gets right."""
    model.eval()
    right = 0
    for rows in data["test"].iter(batch_size=32):
        with torch.inference_mode():
            guess = model(**encode(rows["text"])).logits.argmax(dim=-1)
        right += (guess == torch.tensor(rows["label"])).sum().item()
    return right / len(data["test"])

# %% [markdown]
# The training step itself is PyTorch's plain one; chapter 08 takes it apart.

# %% tags=["long"] why="the whole training loop is the lesson"
def fit(model, steps: int = 28) -> list[float]:
    """Train what isn't frozen, with a learning rate that falls to zero; return the loss of each step."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer, losses = torch.optim.AdamW(learning, lr=6e-4), []
    schedule = transformers.get_scheduler("linear", optimizer, num_warmup_steps=3, num_training_steps=steps)
    model.train()
    batches = data["train"].shuffle(seed=0).iter(batch_size=16)
    for _, rows in zip(tqdm(range(steps), desc="training", leave=False), batches):
        loss = model(**encode(rows["text"]), labels=torch.tensor(rows["label"])).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses

# %%
most_frequent = (topic_labels["test"] == topic_labels["train"].mode().values).float().mean().item()
mine = untrained("cls")
scores = {"always the same topic": most_frequent, "untrained head": accuracy(mine)}
losses = fit(mine)
scores["trained"] = accuracy(mine)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.8))
left.plot(losses, ".-")
left.axhline(math.log(8), color="#888888", linestyle=":")
left.set(xlabel="training step", ylabel="loss", ylim=(0, None), title="Dotted: log 8, a blind guess")
right.barh(list(scores), list(scores.values()), color=["#BBBBBB", "#BBBBBB", "#0072B2"])
right.set(xlim=(0, 1), xlabel="share of 116 new texts right", title="New texts")
right.invert_yaxis()
right.grid(axis="y", visible=False)
figure.suptitle("Untrained, a head is a blind guess; after 28 steps it isn't", x=0.01, ha="left");

# %% [markdown]
# On the left, the loss begins at log 8, about 2.1, where a blind guess among eight stands, and falls. On the right, the
# untrained head does about as well as always giving the same answer. Trained, the model gets more than eight in ten of
# the new texts right.
#
# Save, reload, compare. Before you run this: equal to how many decimals?

# %%
assert scores["trained"] > 0.6 > scores["untrained head"]
mine.save_pretrained(Path(box.name, "mine"))
tokenizer.save_pretrained(Path(box.name, "mine"))
reloaded = BertForTopics.from_pretrained(Path(box.name, "mine")).eval()
with torch.inference_mode():
    same = torch.equal(mine(**texts).logits, reloaded(**texts).logits)
print(sorted(path.name for path in Path(box.name, "mine").iterdir()), reloaded.config.pooling, same)
logging.set_verbosity(logging.CRITICAL)  # it would list all the classes that it knows: yours isn't among them
classify = transformers.pipeline("text-classification", model=reloaded, tokenizer=tokenizer)
logging.set_verbosity_error()
classify("The goalkeeper saved a penalty in the last minute of the final.")

# %% [markdown]
# Equal to the last bit, and a pipeline can use the class, because it takes what the tokenizer gives and returns what a
# classifier returns. One thing is left: `AutoModelForSequenceClassification` does not know your class. Chapter 05 shows
# how a folder brings its own code.

# %% [markdown]
# ## 7.11 [CLS] or the mean?
# <!-- T125 -->
# Many hand-written heads take `[CLS]`. Is that the best vector for a head? A fair race needs the same budget for all,
# and more than one start. So: the body is **frozen** altogether, each vector is computed once, and on each of the four
# stands the same linear head, trained for 150 steps from five seeds (another start, other batches). Two data sets: the
# topics, and six emotions. Before you run this: who wins, and by how much?

# %%
emotion = lab.dataset("emotion")
feelings = load_dataset(emotion, revision=emotion.revision)
feelings["train"] = feelings["train"].shuffle(seed=0).select(range(400))
feeling_names = feelings["train"].features["label"].names
feeling_features, feeling_labels = {}, {}
for split in ("train", "test"):
    feeling_features[split] = features(body, list(feelings[split]["text"]))
    feeling_labels[split] = torch.tensor(feelings[split]["label"][:])

# %%
def race(vectors: dict, labels: dict, seed: int, steps: int = 150) -> float:
    """Train a linear head on frozen vectors; return the share of test texts right."""
    torch.manual_seed(seed)
    head = nn.Linear(vectors["train"].shape[1], int(labels["train"].max()) + 1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    for _ in range(steps):
        batch = torch.randint(len(labels["train"]), (32,))
        loss = nn.functional.cross_entropy(head(vectors["train"][batch]), labels["train"][batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (head(vectors["test"]).argmax(dim=-1) == labels["test"]).float().mean().item()

# %%
races, rows = {"topics": (topic_features, topic_labels), "emotions": (feeling_features, feeling_labels)}, []
for name, (found, labels) in races.items():
    for pooling in ("pooler", "[CLS]", "max", "mean"):
        vectors = {split: found[split][pooling] for split in found}
        rows += [{"data": name, "pooling": pooling, "right": race(vectors, labels, seed)} for seed in range(5)]
results = pd.DataFrame(rows)
summary = results.groupby(["data", "pooling"])["right"].agg(["mean", "min", "max"])
for name in races:
    assert summary["mean"][name, "mean"] > summary["mean"][name, "[CLS]"] > summary["mean"][name, "pooler"]
summary.style.format("{:.0%}")

# %% [markdown]
# As a picture, with the share of the most frequent label as a dotted line:

# %%
figure, panels = plt.subplots(1, 2, figsize=(8.4, 3), sharey=True)
for axes, (name, (_, labels)) in zip(panels, races.items()):
    group = results[results["data"] == name]
    axes.plot(group["pooling"], group["right"], "o", alpha=0.6)
    same_answer = (labels["test"] == labels["train"].mode().values).float().mean()
    axes.axhline(same_answer, color="#888888", linestyle=":")
    axes.set(title=name, ylim=(0, 1), xlim=(-0.5, 3.5), xlabel="vector that the head gets")
panels[0].set_ylabel("share of new texts right")
figure.suptitle("Frozen body: the mean wins on both data sets", x=0.01, ha="left");

# %% [markdown]
# Each dot is one seed. The mean leads in both panels, and for the emotions by far more than the wobble between seeds.
# The maximum changes its place from panel to panel. (All four got the same learning rate; it was tuned for none of
# them.) So is the mean better than `[CLS]`? **For this body, while it is frozen.** It was trained to make good means.
# If the upper layers may learn, they can change what `[CLS]` holds. One seed each, the training of section 7.10:

# %%
other = untrained("mean")
other_losses = fit(other)
{"[CLS], two layers learn": f"{scores['trained']:.0%}", "mean, two layers learn": f"{accuracy(other):.0%}"}

# %% [markdown]
# Both are good now, and what lies between them is a handful of 116 texts: a single seed can't settle it. Which pooling
# is best is a question to your body and your budget; to answer it, take five seeds, as above.
#
# ### Exercise 7.8
# `[CLS]` looks at one vector, the mean at all alike. Let the head decide. Complete `AttentionHead`: `forward(hidden,
# attention_mask)` gets `hidden` `[texts, tokens, width]` and `attention_mask` `[texts, tokens]` of 1s and 0s; the 0s
# may stand anywhere. `self.score` gives each token one number; a softmax over the **real** tokens of each text turns
# these into weights (padding gets exactly 0); the weighted sum of the vectors, `[texts, width]`, goes through
# `self.classifier`. Return the logits `[texts, labels]`. For example, where `self.score` gives every token the same
# number, the head sees the mean over the real tokens.

# %% tags=["exercise"]
class AttentionHead(nn.Module):
    """Attention pooling and a classifier: hidden [texts, tokens, width] → logits [texts, labels]."""

    def __init__(self, width: int, num_labels: int):
        super().__init__()
        self.score = nn.Linear(width, 1)
        self.classifier = nn.Linear(width, num_labels)

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        # BEGIN SOLUTION
        scores = self.score(hidden).squeeze(-1).masked_fill(attention_mask == 0, float("-inf"))
        weights = scores.softmax(dim=-1)
        return self.classifier((weights[..., None] * hidden).sum(dim=1))
        # END SOLUTION

# %% tags=["check"]
lab.check("7.8", AttentionHead)

# %% [markdown]
# `lab.hint("7.8")` helps.

# %% [markdown]
# ## 7.12 Thrown away or kept?
# <!-- T126 -->
# Why is a *pretrained head* discarded when you load `bert-base-uncased` as a classifier? An answer that goes round: the
# checkpoint brings a classification head that doesn't suit. Look at one: our `masked-lm` plays the part of that
# checkpoint. Before you run this: what head is in the file?

# %%
def status(report: dict) -> dict[str, str]:
    """What became of each weight that did not simply match."""
    found = dict.fromkeys(report["unexpected_keys"], "in the file, unused")
    found |= dict.fromkeys(report["missing_keys"], "not in the file: random")
    for name, was, now in report["mismatched_keys"]:
        found[name] = f"{list(was)} in the file, {list(now)} here: random"
    return dict(sorted(found.items()))

masked = lab.checkpoint("masked-lm")
model, report = AutoModelForSequenceClassification.from_pretrained(
    masked, revision=masked.revision, dtype=torch.float32, output_loading_info=True)
pd.Series(status(report), name="what became of it").to_frame()

# %% [markdown]
# There is no classification head to discard. What is unused is `cls.predictions`, the **language-model** head: it turns
# a vector into 30,522 numbers, one for each word, and no class of yours is a word. The new `classifier` is random
# because the file has nothing of that **name**. (Nor has ours a pooler, which a language model doesn't need. That layer
# of the body is random too.)
#
# So it is not a judgement about overfitting or usefulness. It is a comparison of names. Test it: a next-sentence head
# has two outputs, like a two-class classifier, and the file of the real `bert-base-uncased` carries one, as
# `cls.seq_relationship`. Before you run this: will its weights be used?

# %%
here = Path(box.name, "next_sentence")
heads["NextSentencePrediction"].save_pretrained(here)
in_the_file = heads["NextSentencePrediction"].cls.seq_relationship.weight     # [2, 384]
for renaming in (None, {r"^cls\.seq_relationship": "classifier"}):
    model, report = AutoModelForSequenceClassification.from_pretrained(
        here, num_labels=2, output_loading_info=True, key_mapping=renaming)
    same = torch.equal(model.classifier.weight, in_the_file)
    print("renamed:" if renaming else "as it is:", "the file's weights" if same else "other weights")
    for weight, fate in status(report).items():
        print("  ", weight, "|", fate)

# %% [markdown]
# The same shape, another name: thrown away. With the name translated, the library takes the same numbers without a
# question. It doesn't ask what they **mean**. Now the other way round, with a checkpoint that does have a trained
# classification head: our `emotion` model, six labels. Before you run this: which of four requests leave the head
# alone?

# %%
emotional = lab.checkpoint("emotion")
others = dict(enumerate(["sunny", "rainy", "windy", "foggy", "snowy", "mild"]))
requests = {
    "nothing": {},
    "other names": {"id2label": others, "label2id": {name: i for i, name in others.items()}},
    "two labels, ignore_mismatched_sizes": {"num_labels": 2, "ignore_mismatched_sizes": True},
}

# %%
rows = {}
for name, request in requests.items():
    judge, report = AutoModelForSequenceClassification.from_pretrained(
        emotional, revision=emotional.revision, output_loading_info=True, **request)
    labels = ", ".join(judge.config.id2label.values())
    rows[name] = {"the head": "; ".join(status(report).values()) or "kept", "labels": labels}
pd.DataFrame(rows).T

# %%
with lab.expect_error(RuntimeError):
    AutoModelForSequenceClassification.from_pretrained(emotional, revision=emotional.revision, num_labels=2)

# %% [markdown]
# The same width: kept. Another width: an error (the log, which we keep quiet here, holds the report that it speaks of),
# and with `ignore_mismatched_sizes=True` a new random head. The second row is the dangerous one: a head for *sadness,
# joy, love, …* now says *sunny, rainy, windy*, and no warning tells you.
#
# A quieter form of the same accident: your labels **are** the six emotions, but numbered in alphabetical order, as in
# exercise 7.4. The checkpoint numbers them in another. What does that cost, and when should you keep a head at all? An
# experiment: the emotion model's body is frozen, and only the head learns, on texts that the model was not trained on.
# Three starts: the **kept** head with its own numbers; the kept head with **alphabetical** numbers; a **fresh** head.
# Before you run this: draw the three curves.

# %%
judge = AutoModelForSequenceClassification.from_pretrained(emotional, revision=emotional.revision).eval()
alphabetical = {name: number for number, name in enumerate(sorted(feeling_names))}
numbers = {"its own numbers": judge.config.label2id, "alphabetical": alphabetical}
vectors, truth = {}, {}
for split in ("validation", "test"):
    vectors[split] = features(judge.bert, list(feelings[split]["text"]))["pooler"]  # [texts, 384]
    for kind, label2id in numbers.items():
        truth[split, kind] = torch.tensor([label2id[feeling_names[label]] for label in feelings[split]["label"]])

# %%
def learn(head: nn.Linear, kind: str, count: int, seed: int, steps: int = 60) -> list[float]:
    """Train `head` on `count` texts; the share of test texts right before each step, and at the end."""
    torch.manual_seed(seed)
    rows, right = torch.randperm(len(vectors["validation"]))[:count], []
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3)
    for _ in range(steps + 1):
        right.append((head(vectors["test"]).argmax(dim=-1) == truth["test", kind]).float().mean().item())
        loss = nn.functional.cross_entropy(head(vectors["validation"][rows]), truth["validation", kind][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return right

# %%
def fresh_head() -> nn.Linear:
    """A head as the library makes it: normal weights with the config's spread, no bias."""
    head = nn.Linear(judge.config.hidden_size, 6)
    nn.init.normal_(head.weight, std=judge.config.initializer_range)
    nn.init.zeros_(head.bias)
    return head

# %% [markdown]
# With six texts and with a hundred, each start from eight seeds, and the mean of the eight:

# %%
import copy

curves = {}
for count in (6, 100):
    for seed in tqdm(range(8), desc=f"{count} texts", leave=False):
        torch.manual_seed(100 + seed)
        runs = {
            "kept": (copy.deepcopy(judge.classifier), "its own numbers"),
            "fresh": (fresh_head(), "its own numbers"),
            "kept, other numbers": (copy.deepcopy(judge.classifier), "alphabetical"),
        }
        for name, (head, kind) in runs.items():
            curves.setdefault((name, count), []).append(learn(head, kind, count, seed))

# %%
mean_curves = {key: torch.tensor(runs).mean(dim=0) for key, runs in curves.items()}  # [steps + 1]
figure, panels = plt.subplots(1, 2, figsize=(8.6, 3.2), sharey=True)
for (name, count), curve in mean_curves.items():
    panels[(6, 100).index(count)].plot(curve, label=name)
for axes, count in zip(panels, (6, 100)):
    axes.set(xlabel="training step", title=f"{count} texts to learn from", ylim=(0, 1))
panels[0].set_ylabel("share of 220 new texts right")
panels[1].legend(loc="lower right")
figure.suptitle("A kept head starts ahead; with a hundred texts the others catch up", x=0.01, ha="left");

# %%
at = {key: {"no step": run[0], "10 steps": run[10], "60 steps": run[-1]} for key, run in mean_curves.items()}
assert mean_curves["kept", 6][0] > mean_curves["fresh", 6][0]
assert mean_curves["kept", 6][0] > mean_curves["kept, other numbers", 6][0]
pd.DataFrame(at).T.astype(float).rename_axis(["start", "texts"]).style.format("{:.0%}")

# %% [markdown]
# Read the left ends first. Without a single step the kept head is right about three times in four, about as often as a
# blind guess the fresh one, and the kept head with other numbers less often than a guess: it gives the old numbers, and
# most of them are wrong now. No error, no warning. Then the right ends. With a hundred texts all three meet: the
# knowledge is in the body, and a head of 2,310 numbers is learned again in a few dozen steps. With six texts the kept
# head stays ahead, and yet training makes it **worse**: six examples teach it less than it knew. A kept head helps when
# data are few: true. It may overfit: so does the fresh one, whose curve falls again after its first steps. The cure is
# fewer steps or more texts, not a fresh head.
#
# So: **keep** a head when your labels are its labels, by name **and** by number, above all when you have few examples
# or none. **Replace** it when width or meaning differ; with some data it costs you little. And if the width is the same
# by chance, say so yourself: give the head fresh weights. The library won't notice.
#
# ### Exercise 7.9
# Write `loading_report(checkpoint, model)`: both map names of weights to shapes (tuples). Return a dictionary with four
# **sets** of names: `"kept"` (in both, same shape), `"mismatched"` (in both, other shape), `"missing"` (only in the
# model), `"unexpected"` (only in the checkpoint). For example, with `{"body": (4, 4), "head": (2, 4), "old": (3,)}` and
# `{"body": (4, 4), "head": (6, 4), "new": (3,)}`, `"body"` is kept, `"head"` mismatched, `"new"` missing and `"old"`
# unexpected: shapes alone match nothing.

# %% tags=["exercise"]
def loading_report(checkpoint: dict[str, tuple], model: dict[str, tuple]) -> dict[str, set[str]]:
    """What becomes of each weight, as four sets of names: kept, mismatched, missing, unexpected."""
    # BEGIN SOLUTION
    common = checkpoint.keys() & model.keys()
    fitting = {key for key in common if tuple(checkpoint[key]) == tuple(model[key])}
    return {
        "kept": fitting,
        "mismatched": common - fitting,
        "missing": model.keys() - common,
        "unexpected": checkpoint.keys() - common,
    }
    # END SOLUTION

# %% tags=["check"]
lab.check("7.9", loading_report)

# %% [markdown]
# `lab.hint("7.9")` helps.

# %% [markdown]
# ## What changed since the notes
#
# | the notes say | today | why |
# | --- | --- | --- |
# | a warning, *Some weights … were not initialized …* | a loading report, where like weights of several layers share a line; `output_loading_info=True` gives it as a dictionary | the same facts, as a table |
# | `AutoModelForSequenceClassification` is a subclass of `AutoModel` | both derive from `_BaseAutoModelClass` | they look up different tables |
# | causal language modelling differs from text generation | `pipeline("text-generation")` loads `AutoModelForCausalLM` | a head, and the task it serves |
# | `_keys_to_ignore_on_load_unexpected = [r"pooler"]` keeps a tagging model quiet about the pooler | the class has no such list; the report names the pooler as unexpected | you see what is dropped, and judge it yourself |
# | class names end in `ForSeq2SeqLM` | `AutoModelForSeq2SeqLM` finds `…ForConditionalGeneration`, `MarianMTModel`, … | the suffix belongs to the auto class |
# | `forward(…, head_mask=…)` | no such argument; BERT ignores it without a word | chapter 06 masks a head with a hook |
# | `labels.clamp_(0, ignored_index)` changes your labels | `clamp` makes a copy | your batch stays as it was |
# | `save_pretrained` writes `pytorch_model.bin` | it writes `model.safetensors` | no pickle in the file |
# | `BertForCLS(config, args)` | `BertForTopics(config)` | what a model needs to be rebuilt stands in its config |

# %%
_, report = transformers.AutoModelForTokenClassification.from_pretrained(
    encoder, revision=encoder.revision, output_loading_info=True)
assert {"classifier.weight", "classifier.bias"} == report["missing_keys"]
assert {"pooler.dense.weight", "pooler.dense.bias"} == report["unexpected_keys"]
assert not transformers.BertForTokenClassification._keys_to_ignore_on_load_unexpected
translator = lab.checkpoint("translator")
seq2seq = transformers.AutoModelForSeq2SeqLM.from_pretrained(translator, revision=translator.revision)
assert type(seq2seq).__name__ == "MarianMTModel"

# %%
assert "head_mask" not in inspect.signature(classifier.forward).parameters
with torch.inference_mode():
    assert torch.equal(classifier(**one).logits, classifier(**one, head_mask=torch.zeros(6, 12)).logits)
    late = torch.tensor([9_999, start])
    qa(**two, start_positions=late, end_positions=ends)
assert late.tolist() == [9_999, start]
assert Path(box.name, "mine", "model.safetensors").exists() and not list(Path(box.name, "mine").glob("*.bin"))
BertForTopics.from_pretrained(Path(box.name, "mine")).config.num_labels

# %% [markdown]
# ## Quiz

# %%
lab.quiz("07")

# %% [markdown]
# ## Recap
# - The suffix names the head, the auto tables know the exceptions, and a head's purpose gives its shape: a row for each
#   text, each token, or each choice.
# - `AutoModel` is the body, whole and without a head; the mean of its vectors is a good feature, its pooler only if
#   somebody trained it.
# - `num_labels` is the length of `id2label`, which wants `label2id` beside it; `problem_type` chooses the loss, and is
#   better said than guessed; every other head's loss is cross-entropy over the labels that count.
# - Multiple choice wants `[batch, choices, length]` and gives one number for each choice; a question-answering label
#   before the text counts as `[CLS]`, one behind it is ignored, and a batch of such labels gives `nan`.
# - A head of your own is a class of twenty lines; put what it needs into the config, and it saves, loads and fits into
#   a pipeline. On a frozen MiniLM the mean beat `[CLS]` on both data sets.
# - Weights are matched by name and shape, never by meaning. Keep a head for the same labels; otherwise start a fresh
#   one: with a hundred texts it caught up.
#
# Next: chapter 08, PyTorch essentials, takes the training step apart that you used here.

# %% [markdown] tags=["instructor"]
# ## For the instructor
# **Where it sticks.** Watch for these, besides the mistakes that the judges know:
#
# - The pooler can be taken for the summary, because it is the last layer; for this body it is a poor one (7.3, 7.11).
# - The kind of loss is decided by the type of the first labels, and stays decided (7.6).
# - `id2label` doesn't fill `label2id`, and a name makes no knowledge (7.5).
# - A kept head of the right width can be taken for a right head (7.12).
#
# **To discuss:**
#
# - *`[CLS]` or the mean?* Lean on 7.11: the dots of five seeds; the cell in which two layers learn. A good answer asks
#   how the body was trained and whether it may move, and knows that one seed settles nothing.
# - *When do you keep a head that somebody has trained?* Lean on 7.12: the curves for six texts and for a hundred. A
#   good answer wants the same labels by name and by number, thinks of few texts, and knows that six texts made the kept
#   head worse.
# - *Weights are matched by name and shape. Should the library ask what they mean?* Lean on 7.12: the next-sentence head
#   under another name. A good answer says what the library could know, what it can't, and what the person who loads
#   must check.
# - *A loss of `nan` that spoils no weight: is it harmless?* Lean on 7.9: the gradients that were counted, then the mean
#   of three losses. A good answer sees that it spoils every number computed from it, and that it tells of answers that
#   were cut away.
#
# **If time is short.** 7.8 and 7.9 can be left out where no such task is planned (the last cell of *What changed* uses
# 7.9). 7.4 can be short, but run its first two code cells, as later sections use `inspect`. 7.12 needs the data of
# 7.11, and chapter 09 comes back to its frozen body. Exercise to keep: 7.5.
#
# **In class.** `labs fetch llm`: one cell of 7.4 loads the body of the chat model; nothing else needs fetching. The
# body reads the topics (7.3) and the emotions (7.11) under a progress bar, and 28 steps are trained twice (7.10, 7.11).

# %% [markdown]
# # 03 Inside a pipeline
# You open a pipeline, do its three steps by hand with the same numbers, and build a pipeline that the library no longer
# has.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | do a pipeline's three steps by hand and get its own answer | 75 minutes | chapter 00 |
# | read every shape between the text and the label, and every way into a `ModelOutput` | | |
# | turn logits into probabilities along the right dimension | | |
# | say what the attention mask saves you from, and prove it | | |
# | cut a long text into overlapping windows, and find your way back to its characters | | |
# | write, register and measure a pipeline of your own, and know when batching pays | | |

# %%
import labs_utils as lab
lab.start("03")

# %% [markdown]
# ## 3.1 Three steps
# <!-- T050 -->
# We need a patient, and you make one: a classifier that tells which of eight topics a text is about. The encoder stays
# as it is (**frozen**); only a small layer on top of it, the **head**, learns. The library will print a report of what
# it did not find in the checkpoint; it is no error, so read its two lines.
#
# Before you run this: with eight topics, how many of a hundred texts would a blind guess get right?

# %%
import torch
from datasets import load_dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer

device = lab.device()
encoder, topics = lab.checkpoint("encoder"), lab.dataset("topics")
data = load_dataset(topics, revision=topics.revision)
names = data["train"].features["label"].names
tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)
model = AutoModelForSequenceClassification.from_pretrained(
    encoder, revision=encoder.revision,
    id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)},
).to(device).eval()

# %%
def summaries(rows: list[str]) -> torch.Tensor:
    """The frozen encoder's summary vector of each text: [texts, width]."""
    batch = tokenizer(rows, padding=True, truncation=True, max_length=64, return_tensors="pt").to(device)
    with torch.no_grad():
        return model.bert(**batch).pooler_output

# %% [markdown]
# A frozen encoder gives the same text the same vector each time, so one pass over the texts is enough. Then the head
# learns from the vectors.

# %%
train = data["train"].select(range(240))
features = torch.cat([summaries(rows["text"]) for rows in train.iter(batch_size=24)])  # [240, 384]
labels = torch.tensor(train["label"][:], device=device)  # [240]
optimizer = torch.optim.AdamW(model.classifier.parameters(), lr=1e-2)
for _ in range(150):
    loss = torch.nn.functional.cross_entropy(model.classifier(features), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %%
held_back = data["test"].select(range(64))
with torch.no_grad():
    guesses = model.classifier(summaries(held_back["text"][:])).argmax(dim=-1).cpu()
share = (guesses == torch.tensor(held_back["label"][:])).float().mean()
f"{share:.0%} of {len(held_back)} new texts right"

# %% [markdown]
# A blind guess gets one in eight. The library told you that `classifier.weight` and `classifier.bias` were missing and
# therefore random; now they have learned. Save the model together with its tokenizer, and you have a **checkpoint**: a
# folder that `pipeline` can load.

# %%
import tempfile
from transformers import pipeline

folder = tempfile.TemporaryDirectory()
model.save_pretrained(folder.name)
tokenizer.save_pretrained(folder.name)
classifier = pipeline("text-classification", model=folder.name, revision="main", device=device)
text = "The goalkeeper saved a penalty in the last minute of the final."
classifier(text)

# %% [markdown]
# One line in, one label out. What happened in between? Many drawings show three steps: preprocess, *fit the model*,
# postprocess. They are three methods of the pipeline. Before you run this: of which type is what passes from one to the
# next? And is anything fitted: do the weights change?

# %%
weights = [parameter.clone() for parameter in classifier.model.parameters()]
encoded = classifier.preprocess(text)           # text → ids
outputs = classifier.forward(encoded)           # ids → logits
answer = classifier.postprocess(outputs)        # logits → label
assert all(torch.equal(a, b) for a, b in zip(weights, classifier.model.parameters()))
print(type(encoded).__name__, "→", type(outputs).__name__, "→", answer)

# %% [markdown]
# The order is right, but nothing is fitted: the weights are what they were. The middle step only **runs** the model.
#
# Now without the pipeline. A tokenizer, a model, a softmax, a dictionary:

# %%
inputs = tokenizer(text, return_tensors="pt").to(device)
with torch.no_grad():
    logits = model(**inputs).logits                 # [1, 8]
probabilities = logits.softmax(dim=-1)[0]           # [8]
best = int(probabilities.argmax())
by_hand = {"label": model.config.id2label[best], "score": float(probabilities[best])}
by_hand

# %%
difference = abs(by_hand["score"] - classifier(text)[0]["score"])
assert by_hand["label"] == classifier(text)[0]["label"] and difference < 1e-5
f"same label; scores differ by {difference:.1e}"

# %% [markdown]
# The same label, and the same score up to rounding (we allow 0.00001; the pipeline computes its softmax with NumPy). So
# there is no fourth, secret step. The rest of the chapter goes through the three, one at a time, with the `text`,
# `tokenizer`, `model` and `inputs` of this section.

# %% [markdown]
# ## 3.2 What the tokenizer hands over
# <!-- T051, T307, T308 -->
# `model(**inputs)` looks like a spell. Before you run this: `inputs` behaves like a dictionary. What are its keys?

# %%
import pandas as pd

pd.DataFrame(
    {name: values[0].tolist() for name, values in inputs.items()},
    index=tokenizer.convert_ids_to_tokens(inputs["input_ids"][0]),
).T

# %% [markdown]
# Each column is a token. `input_ids` are the numbers of the tokens in the vocabulary. `token_type_ids` say to which of
# two texts a token belongs (here there is one, so all are 0). `attention_mask` is 1 for a real token and 0 for padding.
#
# It is often drawn with one number per word: `[1, 1, 1, 1]` for *Hello, how are you?* Count:

# %%
hello = tokenizer("Hello, how are you?")
print(*tokenizer.convert_ids_to_tokens(hello["input_ids"]), "→", hello["attention_mask"])

# %% [markdown]
# One number per **token**, punctuation, `[CLS]` and `[SEP]` included. The two stars are plain Python: they unpack a
# dictionary into keyword arguments. The next cell writes the same call out. Before you run the one after it: what
# happens without the stars, and what with a key that the model doesn't know?

# %%
with torch.no_grad():
    written_out = model(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        token_type_ids=inputs["token_type_ids"],
    ).logits
torch.equal(written_out, logits)

# %%
with lab.expect_error(AttributeError):
    model(dict(inputs))
with torch.no_grad():
    unknown = model(**inputs, colour="blue").logits
torch.equal(unknown, logits)

# %% [markdown]
# Without the stars, the whole dictionary lands in the first argument, `input_ids`, and the model asks it for a tensor's
# size. The unknown key is the nastier case: this model takes it and ignores it, without a word. Keep that in mind for
# section 3.5. So let the tokenizer choose the keys; it knows what its model wants:

# %%
tokenizer.model_input_names

# %% [markdown]
# Many tutorials make the ids by hand, step by step, and then forget a dimension. Before you run this: what does the
# model say to the ids of one text as a row, `[tokens]`? And to the ids without `[CLS]` and `[SEP]`?

# %%
row = inputs["input_ids"][0]  # [tokens]
bare = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))  # a list: no [CLS], no [SEP], no tensor
with lab.expect_error(ValueError):
    model(row)
with torch.no_grad():
    as_a_batch, by_hand = model(row[None]).logits, model(torch.tensor([bare], device=device)).logits
print(f"a batch of one: off by {(as_a_batch - logits).abs().max():.0e}")
print(f"and without the special tokens: off by {(by_hand - logits).abs().max():.2f}")

# %% [markdown]
# A model takes a **batch**, `[texts, tokens]`, also of one text. And the two special tokens matter: the ids by hand
# give other logits, without an error.
#
# One more way to go wrong. An id is a row in one model's table, and another vocabulary numbers other tokens. Here is
# the tokenizer of a small translation model. Before you run this: what will our model read, and what will it answer?
# And what if an id is larger than its table?

# %%
translator = lab.checkpoint("translator")
foreign = AutoTokenizer.from_pretrained(translator, revision=translator.revision)(text, return_tensors="pt").to(device)
with torch.no_grad():
    confused = model(**foreign).logits.softmax(dim=-1)[0]
print("it reads:", *tokenizer.convert_ids_to_tokens(foreign["input_ids"][0][:8]), "…")
print(f"it says: {model.config.id2label[int(confused.argmax())]}, {confused.max():.2f}")
table = model.get_input_embeddings().weight.cpu()  # [30522, 384]
with lab.expect_error(IndexError):
    table[203_249]  # "penalty" in a vocabulary of 250,002

# %% [markdown]
# Ids that fit into the table are taken without a word, and mean something else: here mostly slots that are named
# `[unused…]`. The answer is still one of eight topics, with a probability. Only an id beyond the table raises.
# Tokenizer and model belong together: load both from the same checkpoint.

# %% [markdown]
# ## 3.3 From words to eight numbers
# <!-- T052 -->
# Every token goes in as an id and comes out as a vector. At the end there are eight numbers for the **whole** text.
# Before you run this: at which module does the dimension that counts tokens disappear?

# %%
lab.shapes(model, depth=4, **inputs)

# %% [markdown]
# Read the shapes from top to bottom. Through the embeddings and all six layers they are `[1, tokens, 384]`. The
# **pooler** keeps one vector, that of `[CLS]`, and the classifier turns its 384 numbers into 8. The bars show where the
# parameters are: almost none of them in the head that you trained.

# %%
with torch.no_grad():
    full = model(**inputs, output_hidden_states=True)
    last = full.hidden_states[-1]                            # [1, tokens, 384]: last_hidden_state
    pooled = model.bert.pooler(last)                         # [1, 384]
    again = model.classifier(pooled)                         # [1, 8]
print(list(last.shape), "→", list(pooled.shape), "→", list(again.shape))
print("the model's own logits:", torch.allclose(again, logits, atol=1e-5))

# %% [markdown]
# `last_hidden_state` is often called the layer just before the logits. Nearly: in BERT's classifier the pooler (and,
# while training, dropout) stands between. And some examples take the logits from `AutoModel`. Does that have any?

# %%
from transformers import AutoModel

body = AutoModel.from_pretrained(encoder, revision=encoder.revision).to(device).eval()
with torch.no_grad():
    plain = body(**inputs)
with lab.expect_error(AttributeError):
    plain.logits
list(plain.keys())

# %% [markdown]
# `AutoModel` is the body without a head: it stops at the hidden states. For logits you need one of the `AutoModelFor…`
# classes.
#
# <!-- T057 -->
# What a model returns is a **`ModelOutput`**: a dictionary, an object with attributes, and a tuple in one. Before you
# run this: with `labels` given, what is `outputs[0]`?

# %%
with torch.no_grad():
    without = model(**inputs)
    with_labels = model(**inputs, labels=torch.tensor([0], device=device))
pd.DataFrame({
    "without labels": [list(without.keys()), list(without[0].shape), len(without.to_tuple())],
    "with labels": [list(with_labels.keys()), list(with_labels[0].shape), len(with_labels.to_tuple())],
}, index=["keys", "shape of [0]", "length as a tuple"])

# %% [markdown]
# With labels, the first entry is the **loss**, a tensor of shape `[]`. A field that is `None` is not there for keys and
# indices, so the others move up. Code that takes the logits with `[0]` breaks when someone adds labels. The attribute
# and the key stay.

# %%
assert without.logits is without["logits"] is without[0]
as_tuple = model(**inputs, return_dict=False)
print("return_dict=False gives a", type(as_tuple).__name__, "of", len(as_tuple))
print("hidden_states:", without.hidden_states, "  as a key:", "hidden_states" in without)

# %% [markdown]
# ### Exercise 3.1
# Write `as_plain_tuple(fields)`: it gets an ordinary dictionary from field names to values, in the order in which the
# model declares them. Return a `tuple` of the values that a `ModelOutput` would keep, in that order. For example,
# `{"loss": None, "logits": a, "hidden_states": None, "attentions": b}` gives `(a, b)`. A value may be a tensor of any
# size or a tuple of tensors.

# %% tags=["exercise"]
def as_plain_tuple(fields: dict) -> tuple:
    """The values of `fields` that a ModelOutput would show, in their order."""
    # BEGIN SOLUTION
    return tuple(value for value in fields.values() if value is not None)
    # END SOLUTION

# %% tags=["check"]
lab.check("3.1", as_plain_tuple)

# %% [markdown]
# `lab.hint("3.1")` helps.

# %% [markdown]
# ## 3.4 Logits become probabilities
# <!-- T053 -->
# **Logits** are scores: any real numbers, larger for what the model finds more likely. They are not probabilities.
# Softmax makes them so. Before you run this: three texts and eight topics give logits of which shape? And what must sum
# to one?

# %%
three = [
    "The goalkeeper saved a penalty in the last minute of the final.",
    "Bake the bread until the crust is brown, and serve it with soup.",
    "Our train to the coast was late, but the hotel kept our room.",
]
batch = tokenizer(three, padding=True, return_tensors="pt").to(device)
with torch.no_grad():
    logits3 = model(**batch).logits.cpu()  # [3, 8]
right, wrong = logits3.softmax(dim=-1), logits3.softmax(dim=0)  # both [3, 8]
print("sums of the rows, dim=-1:", [round(value, 2) for value in right.sum(dim=-1).tolist()])
print("sums of the rows, dim=0: ", [round(value, 2) for value in wrong.sum(dim=-1).tolist()])

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(2, 1, figsize=(8, 4.6), sharex=True)
titles = ("dim=-1: each text's topics sum to 1", "dim=0: each topic's texts sum to 1. Wrong.")
for axis, values, title in zip(axes, (right, wrong), titles):
    axis.imshow(values, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for row in range(3):
        for column in range(8):
            shade = "white" if values[row, column] > 0.6 else "black"
            number = f"{values[row, column]:.2f}"
            axis.text(column, row, number, ha="center", va="center", fontsize=9, color=shade)
    axis.set(title=title, xticks=range(8), xticklabels=names, yticks=range(3), yticklabels=["goal", "bread", "train"])
    axis.grid(False)

# %% [markdown]
# Above, each row is one text's opinion: its eight numbers sum to one. Below, softmax ran down the columns: each text's
# number now depends on which **other** texts happen to be in the batch, and its row sums to anything. Nothing raises an
# error. Both tensors have the same shape, and the largest entry of a row may even stand in the right place, so the bug
# hides well. With one text alone it shows:

# %%
logits3[:1].softmax(dim=0)

# %% [markdown]
# Everything is 1: with one text, every column has one entry. `dim=-1` means the last dimension, whatever the number of
# dimensions: the one that holds the classes.
#
# ### Exercise 3.2
# Write `softmax(logits)` yourself, without PyTorch's `softmax` or `log_softmax`: it gets a float tensor of shape `[...,
# classes]` and returns probabilities of the same shape. For example `[[0., 0.], [0., 1.0986]]` gives about `[[0.5,
# 0.5], [0.25, 0.75]]`. It must also survive logits such as 1000, whose exponential doesn't fit into a float.

# %% tags=["exercise"]
def softmax(logits: torch.Tensor) -> torch.Tensor:
    """Probabilities over the last dimension of `logits` [..., classes]: same shape, each row sums to 1."""
    # BEGIN SOLUTION
    shifted = logits - logits.amax(dim=-1, keepdim=True)  # the largest becomes 0, so exp stays in (0, 1]
    powers = shifted.exp()
    return powers / powers.sum(dim=-1, keepdim=True)
    # END SOLUTION

# %% tags=["check"]
lab.check("3.2", softmax)

# %% [markdown]
# `lab.hint("3.2")` helps.
#
# The last part of the third step gives numbers a name. `config.id2label` is an ordinary dictionary, saved in the
# checkpoint's `config.json`. Before you run this: what label would your pipeline have said if nobody had given it
# names?

# %%
from transformers import AutoConfig

named = AutoConfig.from_pretrained(folder.name, revision="main")
nameless = AutoConfig.from_pretrained(encoder, revision=encoder.revision, num_labels=3)
print(named.id2label)
print(nameless.id2label)

# %% [markdown]
# Without names it says `LABEL_0`. The wording belongs to the checkpoint, not to the pipeline. With `top_k` you get more
# than the winner:

# %%
classifier(three[2], top_k=3)

# %% [markdown]
# ### Exercise 3.3
# Write `postprocess(logits, id2label, top_k)`: `logits` has shape `[classes]`, `id2label` maps class numbers (in any
# order) to names, `top_k` is a whole number of at least 1, or `None` for all classes. Return what the pipeline returns:
# a list of dictionaries `{"label": str, "score": float}`, most probable first, at most `top_k` of them. For example,
# logits `[0., 2.]` with `{0: "no", 1: "yes"}` and `top_k=1` give `[{"label": "yes", "score": 0.8808}]` (rounded). You
# may use `torch`'s softmax.

# %% tags=["exercise"]
def postprocess(logits: torch.Tensor, id2label: dict[int, str], top_k: int | None = None) -> list[dict]:
    """The `top_k` most probable labels of one text, from its logits [classes]."""
    # BEGIN SOLUTION
    scores = logits.softmax(dim=-1)  # [classes]
    order = scores.argsort(descending=True)[:top_k]
    return [{"label": id2label[int(i)], "score": float(scores[i])} for i in order]
    # END SOLUTION

# %% tags=["check"]
lab.check("3.3", postprocess)

# %% [markdown]
# `lab.hint("3.3")` helps.

# %% [markdown]
# ## 3.5 Padding, and the mask that hides it
# <!-- T054 -->
# A batch is a rectangle of numbers, so short texts are filled up with `[PAD]`. Before you run this: the text is the
# same, once alone and once padded. Will its logits be the same with the mask? And without?

# %%
padded = tokenizer(text, padding="max_length", max_length=64, return_tensors="pt").to(device)
blind = {**padded, "attention_mask": torch.ones_like(padded["attention_mask"])}  # [PAD] counts as a word
calls = {"alone": inputs, "padded, mask": padded, "padded, no mask": blind}
with torch.no_grad():
    rows = {name: model(**given).logits for name, given in calls.items()}  # [1, 8] each
pd.DataFrame({row: values[0].tolist() for row, values in rows.items()}, index=names).T.round(3)

# %% [markdown]
# The first two rows agree. The third is another answer to the same text, for the padding was read as words. You get
# that third row, too, if you leave `attention_mask` out of the call: the model then assumes that all tokens are real.
# And a typo in its name leaves it out:

# %%
misspelt = {"input_ids": padded["input_ids"], "attention_masks": padded["attention_mask"]}
with torch.no_grad():
    typo = model(**misspelt).logits
{name: torch.allclose(typo, values, atol=1e-4) for name, values in rows.items()}

# %% [markdown]
# One `s` too many, no error, another answer. How bad does it get?

# %%
def score_of(count: int, masked: bool) -> float:
    """The probability of "sports" for `text`, padded to `count` tokens."""
    batch = tokenizer(text, padding="max_length", max_length=count, return_tensors="pt").to(device)
    if not masked:
        batch["attention_mask"] = torch.ones_like(batch["attention_mask"])
    with torch.no_grad():
        return model(**batch).logits.softmax(dim=-1)[0, 0].item()

counts = [16, 24, 32, 48, 64, 96, 128]
curves = {masked: [score_of(count, masked) for count in counts] for masked in (True, False)}

# %%
figure, axes = plt.subplots(figsize=(7, 3.2))
for masked, label in ((True, "with the mask"), (False, "without")):
    axes.plot(counts, curves[masked], "o-")
    axes.text(counts[-1] + 3, curves[masked][-1], label, va="center")
axes.set(title="With the mask, pads behind the text change nothing", xlabel="length after padding (tokens)")
axes.set(ylabel="probability of “sports”", ylim=(0, 1.05), xlim=(10, 160));

# %% [markdown]
# The line with the mask is flat: padding behind the text costs time, but it changes no answer. The other line moves
# with the number of pads, a number that has nothing to do with the text.
#
# A tokenizer can also pad **in front**; chapter 04 does so with chats. Before you run this: the mask is right. Will the
# answer stay the same?

# %%
left = tokenizer(text, padding="max_length", max_length=64, padding_side="left", return_tensors="pt").to(device)
places = (left["attention_mask"].cumsum(dim=-1) - 1).clamp(min=0)  # the first real token gets place 0
with torch.no_grad():
    in_front, counted = model(**left).logits, model(**left, position_ids=places).logits
print(f"pads behind:                   off by {(rows['padded, mask'] - logits).abs().max():.2f}")
print(f"pads in front:                 off by {(in_front - logits).abs().max():.2f}")
print(f"in front, places counted anew: off by {(counted - logits).abs().max():.2f}")
print("by itself this tokenizer pads on the", tokenizer.padding_side)

# %% [markdown]
# It doesn't. The mask hides the pads, but this model numbers the places from the left, pads included, so each word
# stood at another place. With the places counted anew the answer is back. So pad on the side on which the model's own
# tokenizer pads.
#
# The mask matters once more when you average token vectors yourself: an average over pads is no average of the words.
#
# ### Exercise 3.4
# Write `mean_pool(hidden, mask)`: `hidden` has shape `[batch, tokens, width]`, `mask` has shape `[batch, tokens]` with
# 1 for real tokens and 0 for padding (integers). Return the mean of the real tokens' vectors, shape `[batch, width]`.
# For example, `[[[2.], [4.], [9.]]]` with the mask `[[1, 1, 0]]` gives `[[3.]]`. Every text has at least one real
# token; padding may stand on either side.

# %% tags=["exercise"]
def mean_pool(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of the real tokens' vectors: `hidden` [batch, tokens, width], `mask` [batch, tokens] → [batch, width]."""
    # BEGIN SOLUTION
    real = mask.unsqueeze(-1).to(hidden.dtype)  # [batch, tokens, 1]
    return (hidden * real).sum(dim=1) / real.sum(dim=1)
    # END SOLUTION

# %% tags=["check"]
lab.check("3.4", mean_pool)

# %% [markdown]
# `lab.hint("3.4")` helps.

# %% [markdown]
# ## 3.6 Texts that are too long
# <!-- T055 -->
# A model has a fixed number of positions. Here is a text of four parts: sports, then food, then travel, then politics.
# Before you run this: what will the pipeline do with it?

# %%
def some_texts(name: str) -> list[str]:
    """Seven texts of the test set on one topic."""
    return [row["text"] for row in data["test"] if row["label"] == names.index(name)][:7]

long_text = " ".join(" ".join(some_texts(name)) for name in ("sports", "food", "travel", "politics"))
long_ids = tokenizer(long_text, verbose=False)["input_ids"]
on_cpu = pipeline("text-classification", model=folder.name, revision="main", device="cpu")  # a GPU's error says less
with lab.expect_error(RuntimeError, IndexError):
    on_cpu(long_text)
print(len(long_ids), "tokens,", model.config.max_position_embeddings, "positions")

# %% [markdown]
# It stops. The classification pipeline doesn't cut by itself. Ask it to, and it reads the first 512 tokens and no more:

# %%
cut = tokenizer(long_text, truncation=True)["input_ids"]
read, lost = tokenizer.decode(cut, skip_special_tokens=True), len(long_ids) - len(cut)
print(f"{lost} tokens were never read. The last words that were: …{read[-60:]}")
classifier(long_text, truncation=True, top_k=2)

# %% [markdown]
# Whatever stands after the cut can't count. The other way is a **sliding window**: read the text in pieces, each
# overlapping the one before, so that words which one window tears from their neighbours may stand with them in the
# next. The tokenizer does it: `return_overflowing_tokens` keeps the rest, and `stride` is the **overlap** (not the
# step!). Before you run this: windows of 12 tokens with `stride=4`. How many *new* tokens does the second window bring?

# %%
small = tokenizer(
    " ".join(three[:2]), truncation=True, max_length=12, stride=4,
    return_overflowing_tokens=True, return_offsets_mapping=True,
)
for ids, places in zip(small["input_ids"], small["offset_mapping"]):
    real = [place for place in places if place != (0, 0)]
    print(" ".join(tokenizer.convert_ids_to_tokens(ids)), "| characters", real[0][0], "to", real[-1][1])

# %% [markdown]
# Of the second window's 12 tokens, two are `[CLS]` and `[SEP]`; 4 repeat the end of the first window; so 6 are new.
# (The last window holds what is left.) The **offsets** say which characters of the text each token came from; special
# tokens have `(0, 0)`. With them you find your way back.
#
# Now the long text, window by window:

# %%
windows = tokenizer(
    long_text, truncation=True, max_length=96, stride=24,
    padding=True, return_overflowing_tokens=True, return_tensors="pt",
)
source = windows.pop("overflow_to_sample_mapping")  # which text each window came from: here always text 0
with torch.no_grad():
    window_scores = model(**windows.to(device)).logits.softmax(dim=-1).cpu()  # [windows, 8]
lab.heatmap(
    window_scores.T.round(decimals=2),
    rows=names, columns=[str(i + 1) for i in range(len(window_scores))],
    title="The windows see the topic change", label="probability",
)

# %% [markdown]
# Read from left to right: the bright cells wander from sports to food, to travel, and to politics. A window at a border
# may be undecided, and one or another may be wrong. `overflow_to_sample_mapping` matters when you cut several texts
# at once: it says which text a window belongs to. It is not for the model, so we took it out.
#
# ### Exercise 3.5
# Write `cut_windows(ids, size, overlap)`: `ids` is a list of ids without special tokens; return a list of lists, each
# at most `size` long. Each window starts with the last `overlap` ids of the one before. The last window ends with the
# last id, may be shorter, and is not contained in the one before. For example, `[1, 2, 3, 4, 5, 6]` with `size=4,
# overlap=2` gives `[[1, 2, 3, 4], [3, 4, 5, 6]]`. A text that fits gives one window, an empty one gives `[[]]`.
# `overlap` is smaller than `size`.

# %% tags=["exercise"]
def cut_windows(ids: list[int], size: int, overlap: int) -> list[list[int]]:
    """Cut `ids` into windows of at most `size` ids, neighbours sharing `overlap` ids."""
    # BEGIN SOLUTION
    step = size - overlap
    starts = range(0, max(len(ids) - overlap, 1), step)
    return [ids[start : start + size] for start in starts]
    # END SOLUTION

# %% tags=["check"]
lab.check("3.5", cut_windows)

# %% [markdown]
# `lab.hint("3.5")` helps. The check compares your windows with the tokenizer's own.

# %% [markdown]
# ## 3.7 A pipeline of your own
# <!-- T056 -->
# Many tutorials ask a question-answering pipeline where somebody works. Before you run this: does today's library have
# that pipeline?

# %%
from transformers.pipelines import PIPELINE_REGISTRY

with lab.expect_error(KeyError):
    pipeline("question-answering", model=encoder, revision=encoder.revision)
[task for task in PIPELINE_REGISTRY.get_supported_tasks() if "question" in task]

# %% [markdown]
# It is gone (the ones about documents and tables take other inputs), and its name is reserved for that message: a
# pipeline of your own needs a name of its own. So write one. It answers a question with the **passage** of a context
# that is closest in meaning. The parts are old friends: windows, the encoder, a mean with the mask, a cosine.

# %%
def vectors(model, encoded) -> torch.Tensor:
    """One vector of length 1 for each text of a batch: [batch, width]."""
    hidden = model(**encoded).last_hidden_state                      # [batch, tokens, width]
    real = encoded["attention_mask"].unsqueeze(-1)                   # [batch, tokens, 1]
    return torch.nn.functional.normalize((hidden * real).sum(dim=1) / real.sum(dim=1), dim=-1)

# %% [markdown]
# A pipeline class has four methods. `_sanitize_parameters` sorts the caller's keyword arguments into three
# dictionaries, one for each of the others: `preprocess`, `_forward`, `postprocess`. Here one question makes many
# windows, and the model may read them in any batches. For that the library has `ChunkPipeline`: its `preprocess`
# **yields** one input after the other, ours the question first, and marks the last; its `postprocess` gets the list of
# what came out. The base class does the rest: devices, `no_grad`, lists, batches.

# %% tags=["long"] why="the whole pipeline class is the lesson"
from transformers.pipelines.base import ChunkPipeline

class PassageAnswering(ChunkPipeline):
    """Answer {"question": …, "context": …} with the passage of the context that is closest in meaning."""

    def _sanitize_parameters(self, width=None, overlap=None):
        given = {"width": width, "overlap": overlap}
        return {name: value for name, value in given.items() if value is not None}, {}, {}

    def preprocess(self, inputs, width=32, overlap=16):
        context, question = inputs["context"], self.tokenizer(inputs["question"], truncation=True)
        windows = self.tokenizer(
            context, truncation=True, max_length=width, stride=overlap,
            return_overflowing_tokens=True, return_offsets_mapping=True,
        )
        all_places = windows["offset_mapping"]                       # for each token: its first character, its end
        passages = [(places[1][0], places[-2][1]) for places in all_places]  # without [CLS] and [SEP]
        encoded = [question, *({name: windows[name][i] for name in question} for i in range(len(passages)))]
        for i, (one, passage) in enumerate(zip(encoded, [(0, 0), *passages])):
            tensors = {name: torch.tensor([values]) for name, values in one.items()}  # [1, tokens] each
            yield {**tensors, "passage": passage, "context": context, "is_last": i == len(passages)}

    def _forward(self, model_inputs):
        told = {name: model_inputs.pop(name) for name in ("passage", "context", "is_last")}
        return {"vector": vectors(self.model, model_inputs), **told}  # what is told travels on

    def postprocess(self, model_outputs):
        question, *windows = model_outputs
        scores = torch.stack([window["vector"][0] @ question["vector"][0] for window in windows])
        best = int(scores.argmax())
        start, end = windows[best]["passage"]
        answer = windows[best]["context"][start:end]
        return {"score": float(scores[best]), "start": start, "end": end, "answer": answer}

# %% [markdown]
# Give it a task name, and `pipeline` finds it like any other. Before you run this: which passage will it pick?

# %%
PIPELINE_REGISTRY.register_pipeline("passage-answering", pipeline_class=PassageAnswering, pt_model=AutoModel)
ask = pipeline("passage-answering", model=encoder, revision=encoder.revision, device=device)

questions = lab.dataset("questions")
asked = load_dataset(questions, revision=questions.revision, split="test")
example = next(row for row in asked if row["id"] == "q036-3")
print(example["question"], "→", example["answers"]["text"][0])
ask({"question": example["question"], "context": example["context"]})

# %% [markdown]
# The question says *moves too quickly*, the passage *goes too fast*: vectors are compared, so the wording may differ.
# `start` and `end` count characters of the **original** context, so `context[start:end]` is the text with its capitals
# and commas, although the model only ever saw lower case. That is what the offsets are for.
#
# One example proves little. Ask forty questions of the test set, in batches of eight inputs: the library puts windows
# of several questions into one batch, and sorts the answers out again. The passage is right if the true answer lies
# inside it whole. As a comparison: how often would a window picked blindly be right?

# %%
answerable = [row for row in asked if row["answers"]["text"]][:120:3]
forty = [{"question": row["question"], "context": row["context"]} for row in answerable]
found = ask(forty, batch_size=8)

def inside(row: dict, start: int, end: int) -> bool:
    first = row["answers"]["answer_start"][0]
    return start <= first and first + len(row["answers"]["text"][0]) <= end

def hits(found: list[dict]) -> int:
    return sum(inside(row, answer["start"], answer["end"]) for row, answer in zip(answerable, found))

assert [answer["answer"] for answer in found[:4]] == [ask(one)["answer"] for one in forty[:4]]  # one by one: the same
f"{hits(found)} of {len(answerable)} right"

# %%
def chance(row: dict, **options) -> float:
    """Share of a context's windows that hold the answer."""
    _, *windows = ask.preprocess(row, **options)
    return sum(inside(row, *window["passage"]) for window in windows) / len(windows)

f"a blind choice: about {sum(map(chance, answerable)):.0f} of {len(answerable)}"

# %% [markdown]
# Far better than blind, without any training for this task, and far from perfect. A `list` went in and a `list` came
# out; you wrote no loop for that.
#
# You can pass your own parameters too: `width` and `overlap` travel through `_sanitize_parameters`. Before you run
# this: will wider windows be right more often? And is that a merit of the model?

# %%
from tqdm.auto import tqdm

widths = {}
for width in tqdm((16, 64)):
    options = {"width": width, "overlap": 8}
    found = ask(forty, batch_size=8, **options)
    blindly, words = sum(chance(row, **options) for row in answerable), [len(one["answer"].split()) for one in found]
    widths[width] = [hits(found), round(blindly), round(sum(words) / len(words))]
pd.DataFrame(widths, index=["right, of 40", "right by a blind choice", "words in an answer"]).T.rename_axis("width")

# %% [markdown]
# The wide windows find more, but they say less: each is about four times as long, and a blind choice gains, too.

# %% [markdown]
# ### From a passage to the very words
# The pipeline that was dropped went further. Its model, an `AutoModelForQuestionAnswering`, reads question and context
# together and gives every token two logits: *the answer starts here* and *it ends here*. The course brings one: the
# encoder, trained further with a small head on questions with marked answers.
#
# Before you run this: take the best start and the best end, each by itself. What could go wrong?

# %%
from transformers import AutoModelForQuestionAnswering

qa = lab.checkpoint("qa")
qa_tokenizer = AutoTokenizer.from_pretrained(qa, revision=qa.revision)
reader = AutoModelForQuestionAnswering.from_pretrained(qa, revision=qa.revision, dtype=torch.float32).to(device).eval()

# %% [markdown]
# Question and context go in as a pair; where the context is too long, only that is cut.

# %%
pairs = qa_tokenizer(
    [row["question"] for row in answerable], [row["context"] for row in answerable],
    truncation="only_second", max_length=256, padding=True, return_tensors="pt",
)
parts = [pairs.sequence_ids(i) for i in range(len(answerable))]    # None, 0 or 1 for each token
in_context = torch.tensor([[part == 1 for part in row] for row in parts])  # [40, tokens]
with torch.no_grad():
    spans = reader(**pairs.to(device))
print("start logits", list(spans.start_logits.shape), "  end logits", list(spans.end_logits.shape))

# %%
start, end = spans.start_logits.argmax(dim=-1).cpu(), spans.end_logits.argmax(dim=-1).cpu()  # [40] each
row = torch.arange(len(start))
outside = ~(in_context[row, start] & in_context[row, end])
too_long = end - start > 15
print(f"of {len(start)}: {int((end < start).sum())} end before they start, {int(outside.sum())} lie outside the context,",
      f"{int(too_long.sum())} have more than 16 tokens")

# %% [markdown]
# The two logits are separate scores, and nothing ties them together: the end may come before the start, or far behind
# it, and either may lie in the question or on a special token. This head is trained, so few of the forty are hit; but a
# span that ends before it starts holds no text, and one that runs on holds much besides the answer. So a good
# postprocess looks at **pairs**: the score of a span is its start logit plus its end logit, and only pairs that are
# allowed take part. Here are the pairs around the best start for one question; grey ones are not allowed.

# %%
number = 1
print(answerable[number]["question"], "→", answerable[number]["answers"]["text"][0])
first = max(int(in_context[number].nonzero()[0]), int(start[number]) - 8)
places = slice(first, first + 16)
scores = spans.start_logits[number, places, None].cpu() + spans.end_logits[number, None, places].cpu()  # [16, 16]
allowed = torch.ones_like(scores).triu().bool() & in_context[number, places]

# %%
words = qa_tokenizer.convert_ids_to_tokens(pairs["input_ids"][number, places])
figure, axes = plt.subplots(figsize=(6.2, 5.4))
axes.set_facecolor("#dddddd")
image = axes.imshow(scores.masked_fill(~allowed, float("nan")), cmap="cividis")
best_row, best_column = divmod(int(scores.masked_fill(~allowed, -1e9).argmax()), scores.shape[1])
axes.plot(best_column, best_row, "o", ms=12, mfc="none", mec="#D55E00", mew=2)
axes.set(title="Only spans on or above the diagonal are allowed", xlabel="end", ylabel="start")
axes.set(xticks=range(len(words)), yticks=range(len(words)), yticklabels=words)
axes.set_xticklabels(words, rotation=90)
axes.grid(False)
figure.colorbar(image, label="start logit + end logit")
print("the model reads:", " ".join(words[best_row : best_column + 1]))

# %% [markdown]
# The circle marks the best allowed span: read its row for the first word and its column for the last. It answers in the
# very words of the text. Chapter 02 makes a pipeline of it.
#
# ### Exercise 3.6
# Write `best_span(start_logits, end_logits, inside, longest)`: the first three have shape `[tokens]`; `inside` is
# boolean and says which tokens belong to the context. Return `(start, end)`, two `int`s, of the span with the highest
# `start_logits[start] + end_logits[end]` among those with `start <= end`, both ends inside, and at most `longest`
# tokens (`end - start + 1 <= longest`). For example, start logits `[9., 1., 5., 0.]`, end logits `[0., 8., 2., 3.]`,
# `inside = [False, True, True, True]` and `longest=2` give `(1, 1)`: token 0 is not inside, and `(2, 1)` runs
# backwards. Logits may be of any size, negative ones too. At least one token is inside.

# %% tags=["exercise"]
def best_span(start_logits: torch.Tensor, end_logits: torch.Tensor, inside: torch.Tensor, longest: int) -> tuple[int, int]:
    """(start, end), both included, of the best allowed span. All tensors have shape [tokens]."""
    # BEGIN SOLUTION
    scores = start_logits[:, None] + end_logits[None, :]                       # [start, end]
    allowed = inside[:, None] & inside[None, :]
    allowed = allowed & torch.ones_like(allowed).triu().tril(longest - 1)      # start <= end, and not too long
    place = int(scores.masked_fill(~allowed, float("-inf")).argmax())
    return divmod(place, len(inside))
    # END SOLUTION

# %% tags=["check"]
lab.check("3.6", best_span)

# %% [markdown]
# `lab.hint("3.6")` helps.

# %% [markdown]
# ## 3.8 One by one, or in batches?
# <!-- T058 -->
# A pipeline takes a list, but reads it one text at a time unless you give it a `batch_size`. Here are 48 texts, and
# every fourth is three times as long. Before you run this: will batches of 8 be faster on your machine? By how much?
# And what if the texts are sorted by length first?

# %%
import time

pool = data["train"]["text"][:50]
texts = [" ".join(pool[i : i + 3]) if i % 4 == 0 else pool[i] for i in range(48)]
lengths = [len(ids) for ids in tokenizer(texts)["input_ids"]]
in_order = sorted(range(48), key=lengths.__getitem__)
runs = {
    "one by one": (texts, 1),
    "batches of 8": (texts, 8),
    "batches of 8, sorted": ([texts[i] for i in in_order], 8),
}

# %% [markdown]
# The first call may pay for setting up, so it doesn't count.

# %%
def measure(inputs: list[str], batch_size: int) -> tuple[float, list[dict]]:
    """Texts per second, and the results."""
    began = time.perf_counter()
    results = classifier(inputs, batch_size=batch_size)
    return len(inputs) / (time.perf_counter() - began), results

measure(texts[:8], 8)
measured = {name: measure(*run) for name, run in runs.items()}

# %%
def padding_share(lengths: list[int], size: int) -> float:
    """Share of all positions that are padding, when each batch of `size` texts is padded to its longest."""
    batches = [lengths[i : i + size] for i in range(0, len(lengths), size)]
    return 1 - sum(lengths) / sum(len(batch) * max(batch) for batch in batches)

shares = [padding_share(lengths, 1), padding_share(lengths, 8), padding_share(sorted(lengths), 8)]
speeds = [speed for speed, _ in measured.values()]
table = pd.DataFrame({"texts per second": speeds, "padding": shares}, index=list(runs))
table.style.format({"texts per second": "{:.0f}", "padding": "{:.0%}"})

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 2.4), sharey=True)
axes[0].barh(table.index, table["texts per second"], color="#0072B2")
axes[1].barh(table.index, 100 * table["padding"], color="#E69F00")
axes[0].set(title="Speed on this machine", xlabel="texts per second")
axes[1].set(title="Sorting removes most of the padding", xlabel="padding (% of all positions)", xlim=(0, 100))
axes[0].invert_yaxis();

# %% [markdown]
# The right half is the same on every machine: a batch is padded to its longest text, so with mixed lengths a large part
# of the work is padding. Sorting puts equals together, and most of that is gone.
#
# The left half is **yours**. A batch wins where a machine computes many numbers at once and would otherwise be idle;
# padding can eat the gain up, and unsorted batches may well be slower than no batches at all. So measure, and don't
# believe a ratio from a tutorial. The answers don't depend on it:

# %%
single, batched = measured["one by one"][1], measured["batches of 8"][1]
pairs_of_answers = list(zip(single, batched))
largest = max(abs(a["score"] - b["score"]) for a, b in pairs_of_answers)
assert all(a["label"] == b["label"] for a, b in pairs_of_answers) and largest < 1e-4
f"the same labels; scores differ by {largest:.0e} at most"

# %% [markdown]
# Sorted results come out in sorted order. Bring them back to the order of the questions, or they belong to the wrong
# texts:

# %%
restored = [None] * len(texts)
for place, result in zip(in_order, measured["batches of 8, sorted"][1]):
    restored[place] = result
all(a["label"] == b["label"] for a, b in zip(single, restored))

# %% [markdown]
# ## What changed since the notes
# The course grew out of five study documents, most of them in Chinese: the notes. This is what they say of this
# chapter's subject, and what holds today.
#
# | the notes say | today | why |
# | --- | --- | --- |
# | the middle step is *fit model* | `classifier.forward(encoded)` | a pipeline runs the model under `no_grad`; nothing is trained |
# | `AutoModel…(**inputs).logits` | `AutoModelForSequenceClassification…(**inputs).logits` | the bare model has no head, hence no logits |
# | `last_hidden_state` is the layer just before the logits | `model.classifier(model.bert.pooler(last))` | the pooler stands between |
# | `model(input_ids=[1, 2, 3], …)` with lists, `model(torch.tensor(ids))` | `tokenizer(text, return_tensors="pt")` | a model takes tensors with a batch dimension |
# | the mask of *Hello, how are you?* is `[1, 1, 1, 1]` | `tokenizer("Hello, how are you?")["attention_mask"]` | one number for each token |
# | `torch.argmax([0.1, 0.5, 0.4])` | `torch.tensor([0.1, 0.5, 0.4]).argmax(dim=-1)` | PyTorch's functions take tensors, not lists |
# | `return_tensors="tf"` or `"pt"` | `return_tensors="pt"` (or `"np"`) | TensorFlow support is gone |
# | `pipeline("question-answering")` is built in | `PIPELINE_REGISTRY.register_pipeline("passage-answering", …)`, then `pipeline("passage-answering", …)` | the library dropped the task and keeps its name for an error message |

# %%
print("by forward:", list(classifier.forward(tokenizer(text, return_tensors="pt"))["logits"].shape))
whole = AutoModelForSequenceClassification.from_pretrained(folder.name, revision="main").to(device)
print("with a head:", list(whole(**inputs).logits.shape), list(model.classifier(model.bert.pooler(last)).shape))
assert sum(tokenizer("Hello, how are you?")["attention_mask"]) == 8
assert torch.tensor([0.1, 0.5, 0.4]).argmax(dim=-1) == 1
assert tokenizer(text, return_tensors="np")["input_ids"].shape == tuple(inputs["input_ids"].shape)
assert isinstance(pipeline("passage-answering", model=encoder, revision=encoder.revision), PassageAnswering)

# %% [markdown]
# And the old calls, as they fail:

# %%
with lab.expect_error(AttributeError, TypeError, ValueError):
    model(input_ids=[1, 2, 3, 4, 5], attention_mask=[1, 1, 1, 1, 1])
with lab.expect_error(TypeError):
    torch.argmax([0.1, 0.5, 0.4], dim=-1)
with lab.expect_error(ValueError, ImportError):
    tokenizer(text, return_tensors="tf")

# %% [markdown]
# ## Quiz

# %%
lab.quiz("03")

# %% [markdown]
# ## Recap
# - A pipeline is `preprocess`, `forward`, `postprocess`: tokenizer, model, softmax and names. By hand you get the same
#   answer.
# - Shapes go `[batch, tokens]` → `[batch, tokens, width]` → `[batch, width]` → `[batch, classes]`; a `ModelOutput`
#   gives its fields by attribute, key or index, and the index moves when labels are given.
# - Softmax runs over the last dimension, the classes; along another it gives nonsense without an error.
# - With the attention mask, padding behind the text changes no answer; without it, the answer depends on the number of
#   pads.
# - Overlapping windows read what truncation loses, and offsets lead from tokens back to characters.
# - Four methods and a registration make a pipeline of your own; batching pays when the machine works in parallel and
#   padding is low.
#
# Next: [04 Tokenizers](04_tokenizers.ipynb) opens the first of the three steps.

# %% [markdown] tags=["instructor"]
# ## For the instructor
# **Where it sticks.** Watch for these, besides the mistakes that the judges know:
#
# - A misspelt key can be taken for an error that would show. The model takes it and answers something else (3.2, 3.5).
# - Softmax along the wrong dimension can look right in the largest entry; one text alone gives it away (3.4).
# - `stride` can be taken for the step; it is the overlap (3.6).
# - `outputs[0]` can be taken for the logits: with labels it is the loss (3.3).
#
# **To discuss:**
#
# - *Which silent mistake of this chapter would you turn into an error, and where in the code?* Lean on 3.2 (`colour`,
#   the foreign tokenizer), 3.4 (`dim=0`), 3.5 (the typo). A good answer names a place and a check for it, and a right
#   call that the check must not refuse.
# - *In what sense does padding cost nothing?* Lean on the two lines and the left padding of 3.5; the right half of 3.8.
#   A good answer keeps answers, time and places apart.
# - *Wider windows are right more often. Is that better?* Lean on 3.7: the table of widths. A good answer sees that the
#   blind choice gains as well and that an answer is about four times as long, and asks who reads it.
# - *When is a batch worth it on your machine?* Lean on 3.8: each student's left half; the padding is the same
#   everywhere. A good answer speaks of an idle machine, of padding and of putting results back in order, and quotes no
#   ratio from a tutorial.
#
# **If time is short.** 3.8 can be left out, and the end of 3.7 from *From a passage to the very words* on, with
# exercise 3.6: nothing later in the chapter uses them. Everything uses 3.1. Exercise to keep: 3.4, the mean with a
# mask; chapters 05, 07, 09 and 11 write that line again.
#
# **In class.** Nothing to fetch. Each student trains the head of 3.1: let them compare the printed share with that of a
# blind guess before they go on. Collect the speeds of 3.8 on the board; the shares of padding beside them are equal
# everywhere.

# %% [markdown]
# # 02 Pipelines, task by task
# You run each task with a small real model, bring back three that the library dropped, ask a chat model to do the same,
# and learn when not to believe an answer.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | say which tasks the library has today, and which it renamed or removed | 2 hours | chapter 00 |
# | run a task with one call, and read what comes back | | |
# | tell a good answer from a confident wrong one | | |
# | bring back question answering, translation and summarization, with classes of your own and with a prompt | | |
# | compare texts by their vectors, across languages too, and choose a threshold on data | | |
# | see from its load report that a checkpoint doesn't fit a task | | |

# %%
import labs_utils as lab
lab.start("02")

# %% [markdown]
# A **pipeline** is a model, its tokenizer, and the code around them, behind one call: text in, answer out. This chapter
# goes through the tasks one by one; chapter 03 then takes one pipeline apart.
#
# The models here are small. Most are one encoder, MiniLM, changed a little for each task (section 2.2 shows how
# little); one is a chat model. They get many things right and some wrong, and you will meet both. What the text says
# about an answer is true of them. In hub mode (`LABS_MODE=hub`) most cells run well-known larger models, whose answers
# differ.
#
# The library is asked to log errors only. Where a warning matters, we look at it as data.

# %%
import html
import re
from collections import Counter
import ipywidgets as widgets
import matplotlib.pyplot as plt
import pandas as pd
import torch
import transformers
from datasets import load_dataset
from transformers import pipeline

transformers.logging.set_verbosity_error()
pd.set_option("display.max_colwidth", 400)

# %%
device = lab.device()

def load(task: str, role: str, **options):
    """The pipeline for `task` with the model that plays `role` in this course."""
    source = lab.checkpoint(role)
    return pipeline(task, model=source, revision=source.revision, device=device, **options)

# %% [markdown]
# ## 2.1 What is there?
# <!-- T040 -->
# The library keeps a register of its tasks. Here are sixteen that older tutorials list. Before you run this: how many
# of them are still there? And which do you think are gone?

# %%
from transformers.pipelines import PIPELINE_REGISTRY

listed = """audio-classification automatic-speech-recognition conversational feature-extraction fill-mask
image-classification object-detection question-answering summarization table-question-answering text-classification
text-generation text2text-generation token-classification translation zero-shot-classification""".split()
built_in = dict(PIPELINE_REGISTRY.supported_tasks)  # name of the task: class, kinds of model, default model
fate = {task: "kept" if task in built_in else "removed" for task in listed}
assert list(fate.values()).count("kept") == 11
fate |= {name: f"another name for {task}" for name, task in PIPELINE_REGISTRY.task_aliases.items()}
pd.Series(fate, name="today").sort_values().to_frame()

# %% [markdown]
# Eleven kept, five removed. `sentiment-analysis` and `ner` are second names for `text-classification` and
# `token-classification`. What happens when you ask for one that is gone?

# %%
for task in ("summarization", "conversational"):
    with lab.expect_error(KeyError):
        load(task, "sentiment")

# %% [markdown]
# The first message names a way out: a chat model that you ask in words. (`conversational` is forgotten altogether: the
# register doesn't know the word.) Is that as good? In sections 2.7 to 2.9 you bring three of the five back as pipelines
# of your own, ask a chat model for the same, and compare.
#
# And which tasks are not on that list?

# %%
new = sorted(set(built_in) - set(listed))
kinds = pd.Series({task: entry["type"] for task, entry in built_in.items()}).value_counts()
print(len(built_in), "tasks;", len(new), "of them not on the list:", ", ".join(new))
examples = "automatic-speech-recognition", "image-segmentation", "text-to-audio"
print({task: built_in[task]["type"] for task in examples})

figure, axes = plt.subplots(figsize=(7, 2.4))
bars = axes.barh(kinds.index[::-1], kinds[::-1], color="#0072B2")
axes.bar_label(bars, padding=3)
axes.set(title=f"Filed under text: {kinds['text']} of {len(built_in)} tasks", xlabel="number of tasks");

# %% [markdown]
# Read the bars from the top: text is the smaller part. The words are the register's own, and not strict: it files
# speech recognition and the cutting up of pictures under *multimodal*, and making sound from text under *text*. This
# chapter stays with text.
#
# Many tutorials name a task and no model. Then the register's default is taken. Before you run this: they say that
# `pipeline("text-generation")` means GPT-2, with 0.1 billion parameters. And today?

# %%
tasks = ["text-classification", "zero-shot-classification", "text-generation", "fill-mask", "token-classification"]
defaults = {task: built_in[task]["default"]["model"] for task in tasks}
pd.DataFrame(defaults, index=["default model", "revision"]).T

# %% [markdown]
# For text generation, a model of three billion parameters, as its name says: at two bytes each, six gigabytes to
# download. Defaults change without a word to you. So name your model, and its revision.

# %% [markdown]
# ## 2.2 Sentiment
# <!-- T030 -->
# Is a text positive or negative? Before you run this: you give one sentence. Will you get a dictionary, or a list?

# %%
classifier = load("sentiment-analysis", "sentiment")
print(type(classifier).__name__, "on", classifier.device)
classifier("I've been waiting for a HuggingFace course my whole life.")

# %%
texts = ["A warm, funny film that I would watch again.", "The battery died after two days.", "I hate this so much!"]
classifier(texts)

# %% [markdown]
# A list in both cases, with one dictionary for each text. `score` is the probability of the **winner**, whichever it
# is. So a score of 0.99 may be very bad news: look at the label first. `top_k=None` gives all labels:

# %%
classifier("I hate this so much!", top_k=None)

# %% [markdown]
# The device is an argument too. Many tutorials write `device=0`, which means the first GPU. Here `load` hands over
# `lab.device()`, the fastest that you have; the first line of the output above names it. `"cpu"` and `"cuda"` are
# allowed as well.
#
# ### Exercise 2.1
# Write `positive_scores(results)`: it gets what the classifier returns for a list of texts, a list of dictionaries
# `{"label": "POSITIVE" or "NEGATIVE", "score": float}`, and returns a list of floats: for each text the probability
# that it is **positive**. There are only these two labels. For example, `[{"label": "NEGATIVE", "score": 0.9}]` gives
# `[0.1]`.

# %% tags=["exercise"]
def positive_scores(results: list[dict]) -> list[float]:
    """For each result of a two-label classifier, the probability of POSITIVE."""
    # BEGIN SOLUTION
    return [one["score"] if one["label"] == "POSITIVE" else 1 - one["score"] for one in results]
    # END SOLUTION

# %% tags=["check"]
lab.check("2.1", positive_scores)

# %% [markdown]
# `lab.hint("2.1")` helps.
#
# Now be unkind to it. One of these texts is ironic, one says nothing good or bad, one is negated, one says both, and
# one is empty. Before you run this: which will it get wrong, and how sure will it be?

# %%
tricky = {
    "plain praise": "The room was clean, the bed comfortable and breakfast excellent.",
    "plain blame": "The soup was cold and the waiter was rude.",
    "negated": "Not bad at all.",
    "yes, but": "The food was wonderful, but the waiter ruined the evening.",
    "irony": "Oh great, another delay. Just what I needed.",
    "a bare fact": "The hotel has 40 rooms.",
    "nothing": "",
}
yes = classifier.model.config.id2label[1]
both = classifier(list(tricky.values()), top_k=None)
shares = [next(one["score"] for one in answer if one["label"] == yes) for answer in both]

# %%
figure, axes = plt.subplots(figsize=(7, 3))
colours = ["#009E73" if share > 0.5 else "#D55E00" for share in shares]
bars = axes.barh(list(tricky), shares, color=colours)
axes.bar_label(bars, [f"{share:.2f}" for share in shares], padding=3)
axes.axvline(0.5, color="grey", linewidth=1)
axes.set(title="It has only two answers, and gives one to everything")
axes.set(xlabel="probability of “positive”", xlim=(0, 1.12))
axes.invert_yaxis()

# %% [markdown]
# A bar near either end is a sure answer. The plain sentences are right, and so is *not bad*. The irony leaves the model
# in doubt, though not you. The bare fact and the empty text get a confident answer too: the model was never given a
# third choice. A score says how sure the **model** is among **its** labels. It doesn't say that the question makes
# sense.
#
# The same task with other labels is another checkpoint. This one knows six emotions:

# %%
feelings = load("text-classification", "emotion")
felt = feelings(["I miss my grandmother every single day.", "We won, and I can't stop smiling!"], top_k=None)
rows = [{one["label"]: round(one["score"], 2) for one in answer} for answer in felt]
pd.DataFrame(rows, index=["I miss …", "We won …"])

# %% [markdown]
# How different are such checkpoints from the encoder that they were made from? Before you run this: of the sentiment
# model's tensors, how many will have changed?

# %%
from transformers import AutoModel

encoder = lab.checkpoint("encoder")
base = AutoModel.from_pretrained(encoder, revision=encoder.revision).state_dict()
prefix = classifier.model.base_model_prefix + "."
own = {name.removeprefix(prefix): weight.cpu() for name, weight in classifier.model.state_dict().items()}
changed = [name for name in own if name in base and not torch.equal(own[name], base[name])]
head = [name for name in own if name not in base]
differences = [own[name] - base[name] for name in changed if own[name].ndim == 2]
ranks = {int(torch.linalg.matrix_rank(difference, rtol=1e-3)) for difference in differences}
print(f"{len(own)} tensors: {len(changed)} changed, new: {', '.join(head)}")
print(f"{len(differences)} of them are matrices; the rank of what was added to each: at most {max(ranks)}")
del base, own, differences

# %% [markdown]
# A third of the tensors, and a new head. But what was added to a matrix of 384 × 384 numbers has a rank of at most 10:
# it is the product of a matrix of 384 × 10 and one of 10 × 384. Such a change is called a **LoRA adapter**. It is small
# enough to ship one for each task beside a single encoder; loading adds it to the encoder's weights.
#
# One more text, or rather three: in Chinese, *the hotel is very good*, *the hotel is terrible*, and *the room is very
# dirty*. Before you run this: what will a model that learned English say?

# %%
chinese = ["这家酒店很好。", "这家酒店很糟糕。", "房间很脏。"]
for text, answer in zip(chinese, classifier(chinese)):
    print(text, answer["label"], f"{answer['score']:.2f}", classifier.tokenizer.tokenize(text))

# %% [markdown]
# The same label for praise and blame, and no complaint. Look at the tokens: the vocabulary lacks most of these
# characters, so they became `[UNK]`, *unknown*, before the model saw them.
#
# <!-- T305 -->
# A Chinese text needs a checkpoint that learned Chinese. This one is a LoRA adapter again, on an encoder for about a
# hundred languages. It gets the same three, and *the phone broke after two days*. Before you run this: it learned from
# hotel reviews alone. Will it understand the phone?

# %%
reads_chinese = load("sentiment-analysis", "zh-sentiment")
more = [*chinese, "手机用了两天就坏了。"]
for text, answer in zip(more, reads_chinese(more)):
    print(text, answer["label"], f"{answer['score']:.2f}", reads_chinese.tokenizer.tokenize(text))
pieces_of_many_languages = reads_chinese.tokenizer  # section 2.10 needs it again
del reads_chinese  # it is large

# %% [markdown]
# All four are right, the phone too. The pieces are Chinese words, none of them unknown. So look first at what a model
# was made for. Section 2.10 sorts Chinese reviews without any training, and counts.
#
# ### Ask it yourself
# Reading examples is good, asking your own is better. `form` makes text fields and a button for any pipeline of this
# chapter. Whatever you type, you get an answer or a sentence that says what is wrong with the text.

# %%
def reply(answer, texts: dict[str, str], limit: int = 2_000) -> str:
    """What `answer` returns for these texts, or a sentence that says why it can't."""
    for name, text in texts.items():
        if not text.strip():
            return f"The field “{name}” is empty. Type something."
        if len(text) > limit:
            return f"“{name}” has {len(text):,} characters. This form reads up to {limit:,}; shorten it."
    try:
        return str(answer(**texts))
    except Exception as error:  # whatever a pipeline complains about, you read it as a sentence
        return f"The pipeline can't do this ({type(error).__name__}): {str(error)[:200]}"

# %%
def form(answer, **texts: str):
    """A field for each of `texts` and a button: shows what `answer` returns for what stands in the fields."""
    wide = widgets.Layout(width="95%", max_width="760px")
    fields = {name: widgets.Textarea(text, description=name, layout=wide) for name, text in texts.items()}
    button, out = widgets.Button(description="Answer"), widgets.HTML(layout=wide)

    def show(_):
        given = reply(answer, {name: field.value for name, field in fields.items()})
        out.value = f"<pre style='white-space:pre-wrap'>{html.escape(given)}</pre>"

    button.on_click(show)
    print(reply(answer, texts))  # the answer to what stands there now, for static pages too
    return widgets.VBox([*fields.values(), button, out])

# %%
def feeling(text: str) -> str:
    best = classifier(text, truncation=True)[0]  # more than the model can read is cut off
    return f"{best['label']}, {best['score']:.0%} sure"

for text in ("", "🙂🙂🙂", "word " * 10_000, "crème brûlée"):
    print(f"{text[:12]!r:16}", reply(feeling, {"text": text}))
form(feeling, text="The film is slow, but I stayed to the end.")

# %% [markdown]
# (On a static page the fields don't answer; open the notebook. The line above the fields is the answer to what they
# hold.) Try a proverb, a headline, a compliment that isn't one.

# %% [markdown]
# ## 2.3 Labels of your own, without training
# <!-- T031 -->
# Zero-shot classification takes the labels at the moment of the call. The model below has three outputs, and none of
# them is called *education*, *politics* or *business*. Before you run this: how can that work at all?

# %%
sorter = load("zero-shot-classification", "nli", dtype=torch.float32)
course = "This is a course about the Transformers library"
labels = ["education", "politics", "business"]
sorter(course, candidate_labels=labels)

# %% [markdown]
# The model was trained for another question: given two texts, does the second **follow** from the first (entailment),
# contradict it, or neither? The pipeline makes a sentence from each label, *This example is education.*, and asks
# whether it follows from yours. Do the same by hand:

# %%
hypotheses = [f"This example is {label}." for label in labels]
pairs = sorter.tokenizer([course] * 3, hypotheses, padding=True, return_tensors="pt").to(device)
with torch.no_grad():
    logits = sorter.model(**pairs).logits.cpu()  # [3 labels, 3 classes]
entailment = logits[:, sorter.entailment_id]  # [3]: how well does each label follow?
by_hand = dict(zip(labels, entailment.softmax(dim=0).tolist()))
answer = sorter(course, candidate_labels=labels)
assert all(abs(by_hand[label] - score) < 1e-3 for label, score in zip(answer["labels"], answer["scores"]))
by_hand

# %% [markdown]
# The same numbers. (Here the softmax runs over the **labels**, so that they share one.) Two consequences. Each label is
# one more pair for the model to read: ten labels, ten pairs. And the wording of the sentence matters. Before you run
# this: will *This text is about …* change the order?

# %%
templates = ["This example is {}.", "This text is about {}.", "A {} report."]
rows = {}
for template in templates:
    answer = sorter(course, candidate_labels=labels, hypothesis_template=template)
    rows[template] = dict(zip(answer["labels"], answer["scores"]))
pd.DataFrame(rows).T[labels].round(2)

# %% [markdown]
# The first choice stays, the certainty doesn't: *A education report.* is hardly a sentence. Now five texts at once:

# %%
news = {
    "penalty": "The goalkeeper saved a penalty in the last minute of the final.",
    "bread": "Bake the bread until the crust is brown, and serve it with soup.",
    "law": "The parliament passed the new law after a long debate.",
    "rates": "The bank raised its interest rates on Monday.",
    "fractions": "The teacher showed the pupils how to multiply fractions.",
}
five = ["sports", "cooking", "politics", "business", "education"]
answers = sorter(list(news.values()), candidate_labels=five)
table = [[round(dict(zip(one["labels"], one["scores"]))[label], 2) for label in five] for one in answers]
title = "Five texts, and five labels chosen at the call"
lab.heatmap(table, rows=list(news), columns=five, title=title, label="score")

# %% [markdown]
# Each row sums to 1, up to rounding. The large numbers stand on the diagonal, where they belong. If several labels may
# be true at once, or none, say `multi_label=True`. Then each label is judged alone: entailment against contradiction.

# %%
nothing_fits = sorter("My cat sleeps on the radiator.", candidate_labels=["sports", "politics"])
alone = sorter("My cat sleeps on the radiator.", candidate_labels=["sports", "politics"], multi_label=True)
sum(nothing_fits["scores"]), sum(alone["scores"])

# %% [markdown]
# Without it the scores sum to 1, although neither label fits. With it they needn't.
#
# ### Exercise 2.2
# Write `zero_shot_scores(logits, entailment, contradiction, multi_label)`: `logits` is a float tensor of shape
# `[labels, 3]`, the model's logits for each label's hypothesis; `entailment` and `contradiction` are the numbers of
# these two columns. Return a tensor of shape `[labels]`. If `multi_label` is false: a softmax over the labels of their
# entailment logits. If it is true: for each label alone, the softmax of its entailment logit against its contradiction
# logit. For example, with entailment in column 0 and contradiction in column 2, `[[0., 5., 0.], [0., 0., 0.]]` gives
# `[0.5, 0.5]` either way. The third column never counts. A logit may be as large as 200, whose exponential is infinite
# in float32.

# %% tags=["exercise"]
def zero_shot_scores(logits: torch.Tensor, entailment: int, contradiction: int, multi_label: bool) -> torch.Tensor:
    """One score for each label, from the NLI logits [labels, 3] of its hypothesis."""
    # BEGIN SOLUTION
    if multi_label:
        return logits[:, [contradiction, entailment]].softmax(dim=-1)[:, 1]
    return logits[:, entailment].softmax(dim=0)
    # END SOLUTION

# %% tags=["check"]
lab.check("2.2", zero_shot_scores)

# %% [markdown]
# `lab.hint("2.2")` helps.

# %%
def sort_into(text: str, labels: str) -> str:
    answer = sorter(text, candidate_labels=labels)  # one string with commas is fine
    return ", ".join(f"{label} {score:.0%}" for label, score in zip(answer["labels"], answer["scores"]))

form(sort_into, text="The orchestra played Mahler to an empty hall.", labels="music, sports, weather")

# %% [markdown]
# ## 2.4 Going on with a text, and answering
# <!-- T032 -->
# A generator continues your **prompt**. Ours is called SmolLM2, and is the largest model of this chapter. Tutorials say
# that the result differs from run to run. Before you run this: what must you fix to get the same text again?

# %%
from transformers import set_seed

generator = load("text-generation", "llm", dtype=torch.float32)
print(f"{generator.model.num_parameters():,} parameters")
prompt = "Once upon a time there was"
set_seed(0)
two = generator(prompt, max_new_tokens=5, num_return_sequences=2)
[one["generated_text"] for one in two]

# %%
set_seed(0)
again = generator(prompt, max_new_tokens=5, num_return_sequences=2)
set_seed(1)
other = generator(prompt, max_new_tokens=5, num_return_sequences=2)
two == again, two == other

# %% [markdown]
# The seed. The pipeline **samples**: at each step it draws a token by its probability. Here is what it draws the first
# token from:

# %%
ids = generator.tokenizer(prompt, return_tensors="pt")["input_ids"].to(device)
with torch.no_grad():
    next_token = generator.model(ids).logits[0, -1]  # [vocabulary]
lab.probabilities(next_token, generator.tokenizer, count=8)

# %% [markdown]
# One token is far ahead, a few follow, and a long tail isn't shown. (`Ġ` is how a byte-level tokenizer writes a space.)
# With `do_sample=False` the pipeline takes the likeliest token at each step, so there is nothing to draw. From here on
# we do that, to talk about the same text.
#
# Three calls from tutorials deserve a second look. The first limits the length with `max_length`. Before you run this:
# the prompt has six tokens. How many will `max_length=12` add? And `max_length=6`?

# %%
total = generator(prompt, max_length=12, do_sample=False)[0]["generated_text"]
added = generator(prompt, max_new_tokens=5, do_sample=False, return_full_text=False)[0]["generated_text"]
for name, text in {"prompt": prompt, "max_length=12": total, "max_new_tokens=5, without the prompt": added}.items():
    print(f"{len(generator.tokenizer(text)['input_ids']):2} tokens  {name}: {text!r}")
with lab.expect_error(ValueError):
    generator(prompt, max_length=6)

# %% [markdown]
# Six, and an error: `max_length` counts the prompt too, so what is left depends on how long the prompt is.
# `max_new_tokens` counts what is **added**; prefer it. `return_full_text=False` leaves the prompt out.
#
# The other two: a missing letter, and two answers from a method that has only one.

# %%
with lab.expect_error(ValueError):
    generator(prompt, num_return_sequence=2)
with lab.expect_error(ValueError):
    generator(prompt, num_return_sequences=2, do_sample=False)

# %% [markdown]
# ### A conversation
# On the Hub, the name of this checkpoint ends in *Instruct*: after it had learned to continue texts, it was trained on
# conversations. Before you run this: what does it add to the question *What is the capital of France?*, given as a
# plain prompt?

# %%
question = "What is the capital of France?"
plain = generator(question, max_new_tokens=20, do_sample=False, return_full_text=False)
talk = generator([{"role": "user", "content": question}], max_new_tokens=20, do_sample=False)
print("a plain prompt:", plain)
print("a message:     ", talk)

# %% [markdown]
# To the plain prompt it adds nothing: a question is a complete text. Given as a **message**, with a role and a content,
# the question is answered, and the whole conversation comes back, one message longer. What did the model read?

# %%
first_turn = talk[0]["generated_text"][:1]
print(generator.tokenizer.apply_chat_template(first_turn, tokenize=False, add_generation_prompt=True))

# %% [markdown]
# One text, written by a **chat template**: special tokens around each message, a *system* message that you never wrote,
# and at the end the opening of an answer, which the model continues. So a chat is a continuation, too. (Chapter 04
# takes the template apart.)
#
# You may write the system message yourself. A helper first, which sends several conversations at once (chapter 03
# measures when a batch pays). Before you run this: which of the three orders will this model follow?

# %%
def message(content: str, role: str = "user") -> dict:
    return {"role": role, "content": content}

def ask(chats: list[list[dict]], **limits) -> list[str]:
    """The chat model's answer to each conversation: all in one batch, always the likeliest token."""
    answers = generator(chats, do_sample=False, batch_size=len(chats), return_full_text=False, **limits)
    return [one[0]["generated_text"].strip() for one in answers]

orders = ["You are a cook.", "You are a cat.", "Write in capital letters only."]
chats = [[message(order, "system"), message("Who are you?")] for order in orders]
pd.Series(ask(chats, max_new_tokens=12), index=orders, name="Who are you?").to_frame()

# %% [markdown]
# (An answer may be cut: 12 tokens are the limit.) It plays the cook and the cat, and doesn't obey the third. Does it
# have a memory? Before you run this: *Who am I?*, once at the end of a conversation and once alone.

# %%
history = [message("Hello! I am Ada."), message("Good, I will remember that.", "assistant"), message("Who am I?")]
for chat, answer in zip((history, history[-1:]), ask([history, history[-1:]], max_new_tokens=8)):
    print(len(chat), "messages in:", answer)

# %% [markdown]
# *Ada* comes up only where the earlier messages were sent along. (The model even takes the name for its own.) Between
# two calls it keeps nothing. A chat program sends the **whole** conversation each time, which is why long ones cost
# more.
#
# And does it know things? Five capitals and five sums, in one batch. Before you run this: of which will it get more?

# %%
capitals = {"Italy": "Rome", "Egypt": "Cairo", "Norway": "Oslo", "Canada": "Ottawa", "Kenya": "Nairobi"}
sums = {"3 + 4": 7, "6 * 7": 42, "20 - 13": 7, "17 + 25": 42, "12 * 12": 144}
asked = {f"What is the capital of {country}?": city for country, city in capitals.items()}
asked |= {f"What is {problem}? Answer with a number.": str(result) for problem, result in sums.items()}
replies = ask([[message(text)] for text in asked], max_new_tokens=12)
right = [re.search(rf"\b{true}\b", reply) is not None for true, reply in zip(asked.values(), replies)]

# %%
print(f"capitals: {sum(right[:5])} of 5, sums: {sum(right[5:])} of 5")
pd.DataFrame({"asked": list(asked), "answer": replies, "right": right})

# %% [markdown]
# We are generous: an answer is right if the true name or number occurs in it. The wrong ones are written in the same
# calm tone as the right ones. Ask it something else:

# %%
def chat_with(question: str) -> str:
    return ask([[message(question)]], max_new_tokens=40)[0]

form(chat_with, question="Give me a title for a story about a dog who finds a treasure.")

# %% [markdown]
# ## 2.5 The hidden word
# <!-- T033 -->
# BERT was trained to guess hidden words. Many tutorials hide one with `<mask>`. Before you run this: will our model
# understand that?

# %%
from transformers.pipelines import PipelineException

unmasker = load("fill-mask", "masked-lm")
mask = unmasker.tokenizer.mask_token
strange = "<mask>" if mask == "[MASK]" else "[MASK]"
with lab.expect_error(PipelineException):
    unmasker(f"Paris is the {strange} of France.")
mask

# %% [markdown]
# `<mask>` is RoBERTa's token, `[MASK]` is BERT's. Another model, another word: so read it from the tokenizer.

# %%
guesses = unmasker(f"She opened the {mask} and looked outside.", top_k=5)
pd.DataFrame(guesses)

# %%
figure, axes = plt.subplots(figsize=(6.5, 2.4))
words = [f"“{guess['token_str']}”" for guess in guesses]
axes.barh(words[::-1], [100 * guess["score"] for guess in guesses][::-1], color="#0072B2")
axes.set(title="The best five guesses share the probability with 30,000 others")
axes.set(xlabel="probability (%)", xlim=(0, None));

# %% [markdown]
# `top_k` says how many guesses you get. Look how small even the best probability is (the model's card says how often it
# is right). Choosing is easier than guessing. With `targets` you name the candidates yourself, and get their
# probabilities:

# %%
choices = {
    f"Paris is the {mask} of France.": ["capital", "banana", "quickly"],
    f"He opened the {mask} and went in.": ["door", "cloud", "quickly"],
    f"They lived in a small {mask} near the sea.": ["house", "tooth", "slowly"],
    f"He wrote a {mask} to his mother.": ["letter", "stone", "quickly"],
}
rows = []
for text, targets in choices.items():
    found = {guess["token_str"].strip(): guess["score"] for guess in unmasker(text, targets=targets, top_k=3)}
    rows.append([text, *(f"{word}  {100 * score:.4f} %" for word, score in found.items())])
pd.DataFrame(rows, columns=["text", "first", "second", "third"])

# %% [markdown]
# The candidates stand in the order of the model's choice. Where the sensible word comes first, the model has learned
# something that helps with this sentence, even if it would not have guessed the word. Where it doesn't, you see where
# its knowledge ends.
#
# ### Exercise 2.3
# Which words of a sentence can a model guess from the others? For that you hide them one at a time. Write
# `hide_each(text, mask)`: return a list of strings, one for each word of `text` (words are what `str.split` gives), in
# which that word is replaced by `mask`; words are joined by one space. For example, `hide_each("I like tea", "[MASK]")`
# gives `["[MASK] like tea", "I [MASK] tea", "I like [MASK]"]`.

# %% tags=["exercise"]
def hide_each(text: str, mask: str) -> list[str]:
    """`text` as often as it has words, each time with another word replaced by `mask`."""
    # BEGIN SOLUTION
    words = text.split()
    return [" ".join([*words[:place], mask, *words[place + 1 :]]) for place in range(len(words))]
    # END SOLUTION

# %% tags=["check"]
lab.check("2.3", hide_each)

# %% [markdown]
# `lab.hint("2.3")` helps. In the form below, write `___` where a word is missing.

# %%
def guess(text: str) -> str:
    if text.count("___") != 1:
        return "Write ___ exactly once."
    found = unmasker(text.replace("___", mask), top_k=5, tokenizer_kwargs={"truncation": True})
    return ", ".join(f"{one['token_str']} {one['score']:.1%}" for one in found)

print(reply(guess, {"text": "Nothing is missing here."}))
form(guess, text="The children ran down to the ___ to swim.")

# %% [markdown]
# ## 2.6 Names in a text
# <!-- T034 -->
# Named entity recognition gives a label to **every token**. Before you run this: the sentence has three names. How many
# entries will come back, without any grouping?

# %%
finder = load("ner", "ner")
sylvain = "My name is Sylvain and I work at Hugging Face in Brooklyn."
pd.DataFrame(finder(sylvain))[["entity", "score", "word", "start", "end"]]

# %% [markdown]
# One entry for each **piece** that isn't `O` (outside). `B-` begins a name, `I-` continues it. Many tutorials group the
# pieces with `grouped_entities=True`. Today that is an error; the argument is called `aggregation_strategy`, because
# there is more than one way:

# %%
with lab.expect_error(TypeError):
    load("ner", "ner", grouped_entities=True)
found = finder(sylvain, aggregation_strategy="simple")
pd.DataFrame(found)

# %% [markdown]
# `word` is put together from lower-case pieces. For the text as it was written, use `start` and `end`: they count
# characters of the **original**. With them you can mark the names where they stand:

# %%
from IPython.display import HTML

def marked(text: str, entities: list[dict]) -> HTML:
    """`text` with each entity in a box that names its group."""
    out, place = "", 0
    for one in entities:
        name = html.escape(text[one["start"] : one["end"]])
        out += html.escape(text[place : one["start"]])
        out += f"<mark style='border-radius:4px;padding:1px 4px'>{name} <small>{one['entity_group']}</small></mark>"
        place = one["end"]
    return HTML(f"<p style='line-height:2'>{out}{html.escape(text[place:])}</p>")

marked(sylvain, found)

# %% [markdown]
# Two of three are right. *Hugging Face* is a firm, but our encoder reads lower case, and “hugging face” could be many
# things: its score is low, which is honest. Two harder texts. *CCNU*, *Wollongong* and *Eintracht* (a football club's
# first name) fall into several pieces each. Before you run this: what happens when the pieces of one word get different
# labels?

# %%
hard = {
    "a school": "I'm working in CCNU , is a beautiful school , and I like Wollongong",
    "a club": "Toyota and Mitsubishi sponsor Eintracht Frankfurt.",
}
ways = {}
for title, text in hard.items():
    parts = [f"{one['word']} ({one['entity']} {one['score']:.2f})" for one in finder(text)]
    ways[title] = {"none": "  ·  ".join(parts)}
    for way in ("simple", "first", "average", "max"):
        grouped = finder(text, aggregation_strategy=way)
        ways[title][way] = "  ·  ".join(f"{one['word']} ({one['entity_group']})" for one in grouped)
pd.DataFrame(ways)

# %% [markdown]
# In the first text the pieces of each word agree, and so do the four ways. In the second they don't: `simple` follows
# the tags piece by piece, and cuts *Eintracht* in two. The other three keep a word together and differ in who decides:
# its **first** piece, the **average** over its pieces, or the piece with the **maximum** score. For words it is better
# to use one of those three.
#
# ### Exercise 2.4
# Write `group(tokens)`: `tokens` is the list of **all** tokens of a text, dictionaries with `"entity"` (`"O"`, `"B-…"`
# or `"I-…"`), `"start"` and `"end"` (characters). Return a list of tuples `(label, start, end)`, one for each name. `O`
# belongs to no name. `B-` always begins a new one. `I-` continues the name before it if that has the same label and no
# `O` lies between; otherwise it begins a new one. A label may have hyphens of its own: `B-WORK-OF-ART` begins a
# `WORK-OF-ART`. For example, `B-PER 0–5`, `I-PER 6–9`, `O 10–12`, `B-LOC 13–17` gives `[("PER", 0, 9), ("LOC", 13,
# 17)]`.

# %% tags=["exercise"]
def group(tokens: list[dict]) -> list[tuple[str, int, int]]:
    """The names in a text as (label, start, end), from the tags of all its tokens."""
    # BEGIN SOLUTION
    names, before = [], "O"
    for token in tokens:
        prefix, _, label = token["entity"].partition("-")
        if prefix == "I" and before == label:
            names[-1] = (label, names[-1][1], token["end"])
        elif prefix != "O":
            names.append((label, token["start"], token["end"]))
        before = label if prefix != "O" else "O"
    return names
    # END SOLUTION

# %% tags=["check"]
lab.check("2.4", group)

# %% [markdown]
# `lab.hint("2.4")` helps.

# %%
def names_in(text: str) -> str:
    found = finder(text, aggregation_strategy="first")
    lines = [f"{text[one['start']:one['end']]:20} {one['entity_group']}  {one['score']:.0%}" for one in found]
    return "\n".join(lines) or "no names"

form(names_in, text="Ada Lovelace worked with Charles Babbage in London.")

# %% [markdown]
# ## 2.7 Answering from a text
# <!-- T035 -->
# *Where do I work?* Many tutorials ask a pipeline `question-answering`, which is gone. Its models are still there:
# `AutoModelForQuestionAnswering` reads question and context together, and gives each token two logits: *the answer
# starts here*, *it ends here*. Only the code around it is missing. Before you read on: what must that code do with the
# two logits of each token?

# %% tags=["long"] why="the whole class is the lesson: three methods make a pipeline"
from transformers import AutoModelForQuestionAnswering, Pipeline

class ExtractiveQA(Pipeline):
    """Answer {"question": …, "context": …} with a piece of the context, at most `longest` tokens long."""

    def _sanitize_parameters(self, longest=None):
        return {}, {}, {} if longest is None else {"longest": longest}

    def preprocess(self, inputs):
        pair = inputs["question"], inputs["context"]
        cut = {"truncation": "only_second", "max_length": 384}
        encoded = self.tokenizer(*pair, **cut, return_offsets_mapping=True, return_tensors="pt")
        places, part = encoded.pop("offset_mapping")[0].tolist(), encoded.sequence_ids()
        return {"encoded": encoded, "places": places, "part": part, "context": inputs["context"]}

    def _forward(self, model_inputs):
        outputs = self.model(**model_inputs.pop("encoded"))
        return {"start": outputs.start_logits[0], "end": outputs.end_logits[0], **model_inputs}  # [tokens] each

    def postprocess(self, model_outputs, longest=15):
        inside = [token for token, part in enumerate(model_outputs["part"]) if part == 1]  # tokens of the context
        start, end = (model_outputs[name][inside].float().softmax(dim=-1).tolist() for name in ("start", "end"))
        spans = ((start[i] * end[j], i, j) for i in range(len(start)) for j in range(i, min(i + longest, len(end))))
        score, i, j = max(spans)
        first, last = model_outputs["places"][inside[i]][0], model_outputs["places"][inside[j]][1]
        return {"score": score, "start": first, "end": last, "answer": model_outputs["context"][first:last]}

# %% [markdown]
# Three methods, in the order of the three steps (chapter 03 takes them apart). The last one tries every span that
# begins before it ends, and keeps the one whose two probabilities have the largest product. Register it under a name of
# its own; the old name is kept by the library for its error message.

# %%
with lab.expect_error(KeyError):
    load("question-answering", "qa")
kind_of_model = AutoModelForQuestionAnswering
PIPELINE_REGISTRY.register_pipeline("extractive-qa", pipeline_class=ExtractiveQA, pt_model=kind_of_model)
reader = load("extractive-qa", "qa")
context = "My name is Sylvain and I work at Hugging Face in Brooklyn"
questions = ["What is my name?", "Where do I work?", "How old am I?"]
pd.DataFrame([{"question": question, **reader({"question": question, "context": context})} for question in questions])

# %% [markdown]
# The name is right. *Where do I work?* could mean the firm or the town; our model takes *where* for a place. The third
# question has no answer in the text, and gets one all the same, with a low score. Here is the choice that the model
# had:

# %%
given = {"question": questions[1], "context": context}
ready = reader.preprocess(given)
tokens = reader.tokenizer.convert_ids_to_tokens(ready["encoded"]["input_ids"][0])
out = reader.forward(ready)
inside = [token for token, part in enumerate(out["part"]) if part == 1]

# %%
figure, axes = plt.subplots(figsize=(8, 2.8))
for name, colour, shift in (("start", "#0072B2", -0.2), ("end", "#E69F00", 0.2)):
    places = [place + shift for place in range(len(inside))]
    axes.bar(places, out[name][inside].softmax(dim=-1), 0.4, color=colour, label=name)
axes.set_xticks(range(len(inside)), [tokens[token] for token in inside], rotation=60)
axes.set(title=f"The tallest pair is the answer: {reader(given)['answer']}", xlabel="token")
axes.set(ylabel="probability", ylim=(0, 1))
axes.legend();

# %% [markdown]
# A tall blue bar and, at the same place or to the right of it, a tall orange one make an answer. How good is it on
# questions that it has never seen? We count an answer as right if it is the true one to the letter, which is strict.
# Before you run this: will the score be lower for questions that the text does **not** answer?

# %%
asked = lab.dataset("questions")
every = load_dataset(asked, revision=asked.revision, split="test")
test = [row for row in every if row["answers"]["text"]][:96:4] + [row for row in every if not row["answers"]["text"]][:8]
answers = reader([{"question": row["question"], "context": row["context"]} for row in test])

def kind(row: dict, answer: dict) -> str:
    if not row["answers"]["text"]:
        return "the text has no answer"
    return "right" if answer["answer"] == row["answers"]["text"][0] else "wrong, or too long, or too short"

judged = pd.DataFrame({"kind": map(kind, test, answers), "score": [one["score"] for one in answers]})
judged.groupby("kind")["score"].agg(["count", "median"]).round(2)

# %% [markdown]
# Some are exactly right and some are not; the right ones have the higher scores, so the score is worth something. But
# look at the row without an answer: its scores are not much lower than those of the right ones. Our code always points
# at something. One of each:

# %%
show = [next(i for i in range(len(test)) if judged["kind"][i] == one) for one in sorted(set(judged["kind"]))]
pd.DataFrame([{"kind": judged["kind"][i], "question": test[i]["question"], "answer": answers[i]["answer"],
               "true": " ".join(test[i]["answers"]["text"])} for i in show])

# %% [markdown]
# Today's advice is to ask a chat model instead. It reads text and question, and writes its answer in its own words.
# Examples help it to the form that we want: a conversation that never took place, with short answers and one *not in
# the text*. Before you run this: which of the two finds more of four answers? And which will say that there is none?

# %%
harbour = "Anna lives in Oslo with her two sons. She repairs old boats and sells them in the harbour."
example = [message(f"Text: {harbour}\nQuestion: Where does Anna live?"), message("Oslo", "assistant"),
           message("Question: How old is she?"), message("not in the text", "assistant")]
few = [*test[2:6], test[-1]]  # the last one has no answer
chats = [[*example, message(f"Text: {row['context']}\nQuestion: {row['question']}")] for row in few]
spoken = ask(chats, max_new_tokens=12)

# %%
true = [(row["answers"]["text"] or ["not in the text"])[0] for row in few]
pointed = [one["answer"] for one in (*answers[2:6], answers[-1])]
for name, given in {"the reader": pointed, "the chat model": spoken}.items():
    found = [wanted.lower() in text.lower() for wanted, text in zip(true, given)]
    print(f"{name}: the true words in {sum(found[:4])} of 4 answers; “not in the text” {sum(found[4:])} times of 1")
pd.DataFrame({"question": [row["question"] for row in few], "true": true, "reader": pointed, "chat model": spoken})

# %% [markdown]
# Neither says no: our code makes the reader point at something, and the chat model writes something. The reader is a
# sixth of its size and was trained for this alone; it has the true words more often, and whatever it gives does stand
# in the text. The chat model's answers are sentences of its own. One comes near in other words, which our count doesn't
# see; most state what stands nowhere. Five questions are few, and a larger chat model may do better: put the same
# questions to it. One question is good for every answer: where does the text say so?
#
# ### Exercise 2.5
# *The Eiffel Tower.* and *eiffel tower* are one answer. Those who measure question answering compare texts only after
# **normalising** them. Write `same_answer(given, true)`: compare two strings after these four steps, in this order:
# lower case; drop punctuation (the characters of `string.punctuation`); drop the words `a`, `an` and `the`; make each
# run of white space one space, with none at the ends. Return `True` or `False`. For example, `same_answer("The  Eiffel
# Tower.", "eiffel tower")` is `True`, and `same_answer("theatre", "atre")` is `False`.

# %% tags=["exercise"]
import string

def same_answer(given: str, true: str) -> bool:
    """Whether two answers are equal after normalising, as for SQuAD."""
    # BEGIN SOLUTION
    def normalise(text: str) -> list[str]:
        kept = "".join(c for c in text.lower() if c not in string.punctuation)
        return [word for word in kept.split() if word not in ("a", "an", "the")]

    return normalise(given) == normalise(true)
    # END SOLUTION

# %% tags=["check"]
lab.check("2.5", same_answer)

# %% [markdown]
# `lab.hint("2.5")` helps.

# %%
def read(question: str, context: str) -> str:
    found = reader({"question": question, "context": context})
    return f"{found['answer']}   (score {found['score']:.2f}, characters {found['start']} to {found['end']})"

form(read, question="Who was made mayor?", context=test[0]["context"])

# %% [markdown]
# A context longer than 384 tokens is cut at the end. For longer ones you need windows: section 3.6 of chapter 03.

# %% [markdown]
# ## 2.8 Translation
# <!-- T037 -->
# Translation needs a model that reads one text and **writes** another: an encoder–decoder. Many tutorials ask the
# pipeline `translation`, which is gone. A class of our own is shorter than the last one, because `generate` does the
# work. Before you read it: which of the three methods must get the arguments for `generate`?

# %%
class TextToText(Pipeline):
    """Text in, text out, with an encoder–decoder; all arguments of the call go to `generate`."""

    def _sanitize_parameters(self, **options):
        return {}, options, {}

    def preprocess(self, text):
        return self.tokenizer(text, truncation=True, return_tensors="pt")

    def _forward(self, model_inputs, **options):
        known = {name: model_inputs[name] for name in ("input_ids", "attention_mask")}
        return {"ids": self.model.generate(**known, **options)}  # [sequences, tokens]

    def postprocess(self, model_outputs):
        texts = self.tokenizer.batch_decode(model_outputs["ids"], skip_special_tokens=True)
        return [{"generated_text": text} for text in texts]

# %% [markdown]
# `_forward` gets them: it calls `generate`. Register the class under a name of its own, and translate eight sentences.
# Beside each stands a good translation, for later.

# %%
from transformers import AutoModelForSeq2SeqLM

with lab.expect_error(KeyError):
    load("translation", "translator")
PIPELINE_REGISTRY.register_pipeline("translate", pipeline_class=TextToText, pt_model=AutoModelForSeq2SeqLM)
translator = load("translate", "translator", dtype=torch.float32)

# %%
wanted = {
    "Où est la gare ?": "Where is the station?",
    "Les enfants jouent dans le jardin.": "The children are playing in the garden.",
    "Mon frère travaille dans un hôpital.": "My brother works in a hospital.",
    "Nous avons mangé du poisson hier soir.": "We ate fish last night.",
    "La fenêtre est ouverte.": "The window is open.",
    "Elle a oublié ses clés dans la voiture.": "She forgot her keys in the car.",
    "Ma sœur apprend le piano depuis trois ans.": "My sister has been learning the piano for three years.",
    "Ce cours est produit par Hugging Face.": "This course is produced by Hugging Face.",
}

# %%
french = list(wanted)
english = [one[0]["generated_text"] for one in translator(french)]
pd.DataFrame({"French": french, "English": english})

# %% [markdown]
# The model has fewer than two million parameters, and learned from everyday sentences. The first five of ours come out
# well. The last three show how it fails: a wrong person; a lost verb; and a sentence of another kind, with a name,
# where it loses its way. Each is written in calm English. That is the failure to watch for: fluent and wrong.
#
# What does it do with a language that it never learned? Before you run this: will a French–English model say that it
# can't read Chinese?

# %%
translator("我是真的很穷不要再坑我了", max_new_tokens=12)

# %% [markdown]
# It doesn't say so. This model reads one language and writes one; which ones is in the checkpoint's name and card, and
# nowhere in the code.
#
# And the chat model? It gets an order and two examples. Before you run this: which will be nearer to the good
# translations, the small specialist or the chat model with some eighty times as many parameters? We count shared words:
# the F1 of the two bags of words, between 0 and 1.

# %%
def shared_words(written: str, wanted: str) -> float:
    """F1 of the words in common, each counted as often as it occurs in both texts."""
    one, two = (Counter(re.findall(r"\w+", text.lower())) for text in (written, wanted))
    return 2 * (one & two).total() / max(1, one.total() + two.total())

order = [message("You translate French into English.", "system")]
for source, target in {"Bonjour, comment allez-vous ?": "Hello, how are you?",
                       "Le chat dort sur la chaise.": "The cat is sleeping on the chair."}.items():
    order += [message(source), message(target, "assistant")]
by_chat = ask([[*order, message(source)] for source in french], max_new_tokens=10)

# %%
tables = {"translator": english, "chat model": by_chat}
for name, texts in tables.items():
    score = sum(map(shared_words, texts, wanted.values())) / len(texts)
    print(f"{name}: {score:.2f}")
print(f"{generator.model.num_parameters() / translator.model.num_parameters():.0f} times as many parameters")
pd.DataFrame({"French": french, **tables, "a good translation": wanted.values()})

# %% [markdown]
# The specialist wins by far. The chat model may get a short sentence right; mostly it catches a word, makes a sentence
# around it, and repeats the cat of our example. A chat model that was made for several languages may do much better. So
# before you follow the advice to *use a chat model instead*, put a few of your own texts to both.
#
# **Beams.** Back to the translator. Greedy decoding takes the likeliest token at each step. Beam search keeps several
# beginnings alive, and may find a sentence that is likelier as a whole. Our translator did so all along: its checkpoint
# asks for some. Before you run this: with more beams, can the log-probability of a sentence fall?

# %%
from transformers import AutoTokenizer

def log_probability(sources: list[str], written: list[str]) -> list[float]:
    """The log-probability that the model gives to each translation, tokens summed."""
    tokenizer, model, found = translator.tokenizer, translator.model, []
    for source, target in zip(sources, written):
        batch = tokenizer(source, text_target=target, return_tensors="pt").to(device)
        with torch.no_grad():
            logits = model(input_ids=batch["input_ids"], labels=batch["labels"]).logits[0].float()
        loss = torch.nn.functional.cross_entropy(logits, batch["labels"][0], reduction="sum")
        found.append(-loss.item())
    return found

# %%
parallel = lab.dataset("parallel")
sentences = load_dataset(parallel, "fr-en", revision=parallel.revision, split="train")["fr"][:6]
widths = [1, 2, 4]
written = {width: [one[0]["generated_text"] for one in translator(sentences, num_beams=width)] for width in widths}
each = {width: log_probability(sentences, texts) for width, texts in written.items()}
likely = {width: sum(found) / len(found) for width, found in each.items()}

# %%
figure, axes = plt.subplots(figsize=(6.5, 2.8))
axes.plot(widths, list(likely.values()), "o-")
axes.set(title="More beams: likelier sentences, with less and less to gain")
axes.set(xlabel="num_beams", ylabel="mean log-probability")
axes.set_xticks(widths)
lost = sum(four < two for two, four in zip(each[2], each[4]))
print(f"the checkpoint asks for {translator.model.generation_config.num_beams} beams")
print(f"with 4 beams, {lost} of {len(sentences)} sentences are less likely than with 2")

# %% [markdown]
# Higher is likelier, and the step from one beam to two is the largest. A beam is a bet: the mean rises, and single
# sentences lose. Likelier to the model is not the same as better to you, either. `num_return_sequences` shows the beams
# that came second and third:

# %%
translator("Je n'ai pas faim, mais je voudrais un café.", num_beams=4, num_return_sequences=3)

# %% [markdown]
# ### Exercise 2.6
# Each more token makes a sentence less likely, so beam search would favour short ones. The library divides: the score
# of a candidate is its summed log-probability divided by its length to the power `length_penalty`. Write
# `winner(candidates, length_penalty)`: `candidates` is a list of tuples `(summed log-probability, number of tokens)`;
# return the index of the one with the highest score, the first of them if several are equal. Without a `length_penalty`
# it is 1.0. For example, `[(-4.0, 4), (-4.5, 9)]` gives `0` with `length_penalty=0.0` (−4 beats −4.5) and `1` with
# `1.0` (−0.5 beats −1).

# %% tags=["exercise"]
def winner(candidates: list[tuple[float, int]], length_penalty: float = 1.0) -> int:
    """Index of the candidate with the highest log-probability / length ** length_penalty."""
    # BEGIN SOLUTION
    scores = [total / length**length_penalty for total, length in candidates]
    return scores.index(max(scores))
    # END SOLUTION

# %% tags=["check"]
lab.check("2.6", winner)

# %% [markdown]
# `lab.hint("2.6")` helps.

# %%
def translate(French: str) -> str:
    return translator(French)[0]["generated_text"]

form(translate, French="Je cherche un hôtel près de la gare.")

# %% [markdown]
# ## 2.9 Summarization
# <!-- T036 -->
# A summary is a short text about a long one. The pipeline `summarization` is gone too, and here we follow the advice:
# the chat model of section 2.4 gets the text and an order. Before you run this: what should a summary have that the
# first sentence of the article hasn't?

# %%
with lab.expect_error(KeyError):
    pipeline("summarization", model=generator.model, tokenizer=generator.tokenizer)
america = """America has changed dramatically during recent years. Not only has the number of graduates in
traditional engineering disciplines such as mechanical, civil, electrical, chemical, and aeronautical engineering
declined, but in most of the premier American universities engineering curricula now concentrate on and encourage
largely the study of engineering science. Rapidly developing economies such as China and India, as well as other
industrial countries in Europe and Asia, continue to encourage and advance the teaching of engineering."""
america = " ".join(america.split())
wish = "Summarize the text in one short sentence.\n\n"
short = ask([[message(wish + america)]], max_new_tokens=48)[0]
short

# %% [markdown]
# One good English sentence. To call it like any pipeline, put the prompt into a class of your own. The library's
# text-generation pipeline does nearly everything; only the first of its three methods needs a change:

# %%
from transformers import AutoModelForCausalLM, TextGenerationPipeline
from transformers.utils.chat_template_utils import Chat

class Summarizer(TextGenerationPipeline):
    """The text-generation pipeline, with an order in front of each text."""

    def preprocess(self, text, **options):
        return super().preprocess(Chat([message(wish + text)]), **options)

PIPELINE_REGISTRY.register_pipeline("summarize", pipeline_class=Summarizer, pt_model=AutoModelForCausalLM)
quiet = {"do_sample": False, "return_full_text": False}
summarizer = pipeline("summarize", model=generator.model, tokenizer=generator.tokenizer, **quiet)

# %% [markdown]
# It shares the model with `generator`, so nothing is loaded twice. Tutorials limit a summary with `max_length` and
# `min_length`. `max_new_tokens` and `min_new_tokens` are the clearer pair: they count what is written. Before you run
# this: how does a model obey a **minimum**?

# %%
texts = {"max_new_tokens=48, from above": short}
for limit in ({"max_new_tokens": 6}, {"min_new_tokens": 28, "max_new_tokens": 30}):
    texts[str(limit)] = summarizer(america, **limit)[0]["generated_text"]
sizes = [len(summarizer.tokenizer(text)["input_ids"]) for text in texts.values()]
pd.DataFrame({"tokens": sizes, "text": texts.values()}, index=list(texts))

# %% [markdown]
# The maximum cuts, wherever the sentence is. The minimum forbids the token that ends a text until enough others stand
# there. So it makes the model go on, whether or not the text has more to give. (Cutting the written text into tokens
# again may give one more or less than the model wrote.)
#
# Is the summary any good? Ask of each word whether the article has it. Before you run this: read the summary once more.
# What does it say that the article doesn't?

# %%
def new_words(summary: str, article: str) -> list[str]:
    """The words of `summary` that don't occur in `article`, in their order."""
    known = set(re.findall(r"\w+", article.lower()))
    return [word for word in re.findall(r"\w+", summary) if word.lower() not in known]

new_words(short, america)

# %% [markdown]
# Some of these words are harmless: they say in other words what stands there. But look for a subject that the article
# never names, and for what it says first about engineers and the summary leaves out: that there are **fewer**. An
# invented detail in a fluent sentence is hard to see. Such a list of words doesn't find every one, but it shows where
# to look.
#
# Now count. How many words does a summary share with the one that comes with the article? `shared_words` of section 2.8
# is the idea of **ROUGE-1**. And we need something to beat: the article's first sentence. Four articles in one batch;
# to save time, the model reads the first 300 characters of each:

# %%
news_set = lab.dataset("articles")
articles = load_dataset(news_set, revision=news_set.revision, split="test").select(range(1, 5))
openings = [text[:300] for text in articles["text"]]
by_model = [one[0]["generated_text"] for one in summarizer(openings, max_new_tokens=24, batch_size=4)]
first = [re.split(r"(?<=[.!?])\s", text)[0] for text in articles["text"]]
scores = pd.DataFrame({"the model": map(shared_words, by_model, articles["summary"]),
                       "the first sentence": map(shared_words, first, articles["summary"])})
scores.mean().round(3)

# %%
ahead = int((scores["the model"] > scores["the first sentence"]).sum())
figure, axes = plt.subplots(figsize=(7, 2.8))
axes.plot(scores["the first sentence"], scores["the model"], "o", color="#0072B2")
top = 1.1 * float(scores.max().max()) + 0.01
axes.plot([0, top], [0, top], color="grey", linewidth=1)
axes.set(xlabel="first sentence (ROUGE-1 F1)", ylabel="model (ROUGE-1 F1)", xlim=(0, top), ylim=(0, top))
axes.set_title(f"The model shares more words than the first sentence on {ahead} of {len(scores)} articles");

# %% [markdown]
# Each point is an article; above the line the model wins. Is it a good summarizer where it wins? Sharing words is not
# the same as being **true**: the measure can't tell *won* from *lost*. And a longer text has more words to share. So
# read them, beside the summaries that come with the articles:

# %%
pd.DataFrame({"headline": articles["headline"], "the model (24 tokens)": by_model, "wanted": articles["summary"]})

# %% [markdown]
# Honestly: it has caught what a summary sounds like, and now and then what the article is about. Some don't summarize
# at all: they copy the beginning, or talk **about** *the text*. The code stays as it is when you give `summarize` a
# larger chat model. Then, too, ask of each sentence: is that in the article?

# %%
def summarize(article: str) -> str:
    return summarizer(article, max_new_tokens=24)[0]["generated_text"]

form(summarize, article=openings[1])

# %% [markdown]
# ## 2.10 Texts as vectors
# <!-- T038 -->
# `feature-extraction` stops before any head: it gives you the vectors. Before you run this: of which shape, for one
# sentence of five words?

# %%
extractor = load("feature-extraction", "encoder")
nested = extractor("Two dogs play outside today")
vectors = extractor("Two dogs play outside today", return_tensors=True)
type(nested).__name__, len(nested), len(nested[0]), len(nested[0][0]), list(vectors.shape)

# %% [markdown]
# Nested lists `[1][tokens][width]`, or a tensor of that shape: one vector for each **token**, `[CLS]` and `[SEP]`
# included. For one vector of the whole sentence you average over the tokens. Made as long as 1, two such vectors have a
# product that is their **cosine similarity**. For many texts we do it in batches; then padding must not count in the
# average (chapter 03 says why).

# %%
def embed(texts: list[str], tokenizer=extractor.tokenizer, model=extractor.model) -> torch.Tensor:
    """One vector of length 1 for each text: [texts, width]."""
    found = []
    for start in range(0, len(texts), 32):
        part = texts[start : start + 32]
        batch = tokenizer(part, padding=True, truncation=True, return_tensors="pt").to(device)
        with torch.no_grad():
            hidden = model(**batch).last_hidden_state  # [batch, tokens, width]
        real = batch["attention_mask"].unsqueeze(-1)  # [batch, tokens, 1]
        found.append((hidden * real).sum(dim=1) / real.sum(dim=1))
    return torch.nn.functional.normalize(torch.cat(found), dim=-1).cpu()

# %%
by_pipeline = torch.nn.functional.normalize(vectors[0].mean(dim=0), dim=-1)
assert torch.allclose(embed(["Two dogs play outside today"])[0], by_pipeline, atol=1e-4)

# %%
six = {
    "dogs": "Two dogs play outside today",
    "puppies": "A pair of puppies is running around in the garden",
    "not play": "Two dogs do not play outside today",
    "bank": "The bank raised its interest rates",
    "money": "Borrowing money becomes more expensive",
    "river": "We had a picnic on the bank of the river",
}
points = embed(list(six.values()))  # [6, 384]
title = "What is about the same thing is close, whatever the words"
lab.heatmap((points @ points.T).round(decimals=2), rows=list(six), columns=list(six), title=title, label="cosine similarity")

# %% [markdown]
# *Dogs* and *puppies* share no word and are close; *bank* is closer to *money* than to the *river*, although the word
# is the same. But look at *not play*: its meaning is the opposite, and it is the closest of all. Such vectors say what
# a text is **about**. They say little about whether it affirms or denies.
#
# The encoder was trained for such averages. Not every model is: before you compare averages, read what a model was
# trained for.
#
# ### Exercise 2.7
# Write `nearest(query, vectors, count)`: `query` has shape `[width]`, `vectors` has shape `[texts, width]`; they may
# have any length. Return a list of `count` tuples `(index, cosine similarity)`, an `int` and a `float`, most similar
# first; fewer if there are fewer texts. For example, query `[1., 0.]` and vectors `[[0., 2.], [3., 0.]]` with `count=1`
# give `[(1, 1.0)]`. No vector is zero.

# %% tags=["exercise"]
def nearest(query: torch.Tensor, vectors: torch.Tensor, count: int) -> list[tuple[int, float]]:
    """The `count` vectors [texts, width] with the highest cosine similarity to `query` [width]."""
    # BEGIN SOLUTION
    similarity = torch.nn.functional.cosine_similarity(query[None], vectors, dim=-1)  # [texts]
    order = similarity.argsort(descending=True)[:count]
    return [(int(i), float(similarity[i])) for i in order]
    # END SOLUTION

# %% tags=["check"]
lab.check("2.7", nearest)

# %% [markdown]
# `lab.hint("2.7")` helps.

# %%
headlines = load_dataset(news_set, revision=news_set.revision, split="test")["headline"][:]
shelf = embed(headlines)

def search(query: str) -> str:
    values, places = (shelf @ embed([query])[0]).topk(3)
    return "\n".join(f"{value:.2f}  {headlines[place]}" for value, place in zip(values, places))

form(search, query="medical test results")

# %% [markdown]
# Thirty headlines, found by meaning. This is how search in documents begins.
#
# ### One space for many languages
# <!-- T305 -->
# MiniLM learned English. A **multilingual** encoder learned from about a hundred languages; texts of one meaning should
# lie near each other, whatever the language. Its card asks for the word `query:` in front of each text. Before you run
# this: what will be nearer to an English sentence, its Chinese translation or another English sentence?

# %%
several = lab.checkpoint("multilingual-encoder")  # section 2.2 loaded its tokenizer, with the adapter's model
several_model = AutoModel.from_pretrained(several, revision=several.revision, add_pooling_layer=False, dtype=torch.float32)
several_model = several_model.to(device).eval()

def embed_any(texts: list[str]) -> torch.Tensor:
    return embed([f"query: {text}" for text in texts], pieces_of_many_languages, several_model)

# %%
trio = {
    "garden, en": "The children are playing in the garden.",
    "garden, fr": "Les enfants jouent dans le jardin.",
    "garden, zh": "孩子们在花园里玩。",
    "bank, en": "The bank raised its interest rates on Monday.",
    "bank, fr": "La banque a augmenté ses taux d'intérêt lundi.",
    "bank, zh": "银行周一提高了利率。",
}
points = embed_any(list(trio.values()))
near = (points @ points.T).round(decimals=2)
lab.heatmap(near, rows=list(trio), columns=list(trio), title="Two meanings, three languages", label="cosine similarity")

# %% [markdown]
# Two bright blocks: each sentence is nearest to its own translations, the Chinese one included. But read the numbers
# outside the blocks. Children and interest rates have nothing in common, and still come out around 0.75: with this
# model a similarity of 0.75 means nothing. Compare **ranks**, not numbers. And look for the closest of the strangers:
# they share a language, French with French, Chinese with Chinese. The language leaves a trace.
#
# The real test has more candidates. Twenty English sentences, and one in French or Chinese: which of the twenty is its
# translation? Before you run this: how often will MiniLM find it by luck or by shared names, and how often the new one?

# %%
found = {}
for language in ("fr", "zh"):
    twenty = load_dataset(parallel, f"{language}-en", revision=parallel.revision, split="train").select(range(20))
    for name, encode in (("MiniLM (English)", embed), ("multilingual", embed_any)):
        alike = encode(twenty[language][:]) @ encode(twenty["en"][:]).T  # [20 sentences, 20 candidates]
        hits = int((alike.argmax(dim=-1) == torch.arange(20)).sum())
        found.setdefault(name, {})[language] = f"{hits} of 20"
pd.DataFrame(found).T

# %% [markdown]
# All or nearly all of the twenty, without a dictionary. (MiniLM finds some French ones: the languages share words.)
#
# Such a space classifies, too. Take the Chinese that section 2.2 could not read. Two sentences serve as **anchors**,
# and a review gets the label of the nearer one. Our anchors are English, the reviews Chinese and short. Before you run
# this: how many of forty will it get right?

# %%
hotels = lab.dataset("hotel_reviews")
reviews = load_dataset(hotels, "zh_more", revision=hotels.revision, split="train")
reviews = reviews.filter(lambda row: len(row["review"]) < 60).shuffle(seed=0).select(range(40))  # short ones
anchors = embed_any(["This is a bad review.", "This is a good review."])  # label 0, label 1
by_anchor = (embed_any(reviews["review"][:]) @ anchors.T).argmax(dim=-1)
answers = classifier(reviews["review"][:], truncation=True)
by_english = torch.tensor([one["label"] == classifier.model.config.id2label[1] for one in answers])
ones = torch.ones(40)
calls = {"always positive": ones, "the English sentiment model": by_english, "the nearest anchor": by_anchor}
label = torch.tensor(reviews["label"][:])
pd.Series({name: f"{int((call == label).sum())} of 40" for name, call in calls.items()}, name="right").to_frame()

# %% [markdown]
# Two English sentences and no training do what the English classifier can't. (The Chinese one of section 2.2 can't be
# measured here: it was trained on these reviews.) The choice of anchors matters: try your own, in any language. And the
# headlines of before, asked in Chinese (*sand on the beach*):

# %%
shelf_any = embed_any(headlines)

def search_any(query: str) -> str:
    values, places = (shelf_any @ embed_any([query])[0]).topk(3)
    return "\n".join(f"{value:.2f}  {headlines[place]}" for value, place in zip(values, places))

form(search_any, query="海滩上的沙子")

# %% [markdown]
# ## 2.11 Do two sentences say the same?
# <!-- T039 -->
# A well-known example has three sentences, and a BERT that was trained on pairs of news sentences (MRPC). The tokenizer
# packs a pair into one sequence. Before you run this: how does the model know where the second begins?

# %%
zero = "The company HuggingFace is based in New York City"
one = "Apples are especially bad for your health"
two = "HuggingFace's headquarters are situated in Manhattan"
lab.tokens(extractor.tokenizer, zero, two)

# %% [markdown]
# By `[SEP]` and by the token types, 0 and 1. But first the simplest judge there is, which reads each sentence alone:
# two sentences are paraphrases if their cosine similarity reaches a **threshold**. On the three sentences that looks
# perfect:

# %%
three = embed([zero, one, two])
print(f"0 and 2: {three[0] @ three[2]:.2f}   0 and 1: {three[0] @ three[1]:.2f}")

# %% [markdown]
# Three sentences prove nothing: apples and Manhattan have different **topics**. The real question is about pairs on one
# topic. Our `paraphrase` set has near misses: another number, another actor, a negation. Before you run this: how far
# apart will the two kinds of pairs be?

# %%
same = lab.dataset("paraphrase")
pairs = load_dataset(same, revision=same.revision)

sample = {"train": pairs["train"].select(range(100)), "validation": pairs["validation"].select(range(60))}
sides = {split: (embed(rows["sentence1"][:]), embed(rows["sentence2"][:])) for split, rows in sample.items()}
alike = {split: (u * v).sum(dim=-1) for split, (u, v) in sides.items()}  # [pairs] each
truth = {split: torch.tensor(rows["label"][:]) == 1 for split, rows in sample.items()}

# %%
figure, axes = plt.subplots(figsize=(7, 2.8))
edges = torch.linspace(0.4, 1, 25).tolist()
axes.hist(alike["train"][truth["train"]].tolist(), edges, alpha=0.6, color="#0072B2", label="paraphrase")
axes.hist(alike["train"][~truth["train"]].tolist(), edges, alpha=0.6, color="#E69F00", label="different")
axes.set(title="Near misses are about as similar as paraphrases", xlabel="cosine similarity", ylabel="pairs")
axes.legend();

# %% [markdown]
# The two heaps lie on each other. No threshold can part them well. Choose the best one on the **training** pairs all
# the same, and measure it on pairs that it has not seen, beside the answer *always paraphrase*.

# %%
steps = torch.linspace(0.4, 1, 121)
curve = torch.stack([((alike["train"] >= step) == truth["train"]).float().mean() for step in steps])  # [121]
threshold = steps[curve.argmax()]
right = ((alike["validation"] >= threshold) == truth["validation"]).float().mean()
always = truth["validation"].float().mean()
print(f"threshold {threshold:.2f}: {curve.max():.0%} of the training pairs, {right:.0%} of new pairs")
print(f"always “paraphrase”: {always:.0%} of new pairs")

# %% [markdown]
# No better than a constant answer, or hardly. Similarity of topic is not sameness of meaning. Can a small trained head
# read more from the same two vectors *u* and *v*? Give it the size of their difference and their product, entry by
# entry:

# %%
def features(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return torch.cat([(u - v).abs(), 10 * u * v], dim=-1)  # [pairs, 2 × width]

inputs = {split: features(u, v) for split, (u, v) in sides.items()}
torch.manual_seed(0)
head = torch.nn.Linear(inputs["train"].shape[-1], 1)
optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2, weight_decay=0.1)
for _ in range(100):
    loss = torch.nn.functional.binary_cross_entropy_with_logits(head(inputs["train"])[:, 0], truth["train"].float())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
{split: round(((head(inputs[split])[:, 0] > 0) == truth[split]).float().mean().item(), 2) for split in sample}

# %% [markdown]
# Much better on the pairs that it learned, and not on new ones: it learned those by heart. Each sentence was turned
# into a vector without a look at the other, and the detail that decides, a number or a *not*, is lost by then. A model
# for this task must read both **together**. The course has a small one. Before you run this: which of the three pairs
# of sentences will it call a paraphrase?

# %%
judge = load("text-classification", "paraphrase", dtype=torch.float32)
nli = pipeline("text-classification", model=sorter.model, tokenizer=sorter.tokenizer)  # section 2.3
trio = [{"text": zero, "text_pair": one}, {"text": zero, "text_pair": two}, {"text": one, "text_pair": two}]
for pair, answer in zip(trio, judge(trio)):
    print(f"{answer['label']:<11}{answer['score']:.2f}  {pair['text']}  |  {pair['text_pair']}")

# %% [markdown]
# <!-- T306 -->
# It parts the topics, as the cosine did. A harder trio, made to test such models: the second sentence says the same as
# the first, and the third denies it. Beside our judge stands the cosine, and the model of section 2.3, which reads
# pairs for another question. Before you run this: who sees the *not*?

# %%
claim = "This research was consistent with his findings."
others = ["His findings were compatible with this research.", "His findings were not compatible with this research."]
rows = []
for other in others:
    u, v = embed([claim, other])
    row = {"beside the claim": other, "cosine": f"{u @ v:.2f}"}
    for name, model in {"paraphrase?": judge, "does it follow?": nli}.items():
        best = model({"text": claim, "text_pair": other})
        row[name] = f"{best['label']} {best['score']:.2f}"
    rows.append(row)
pd.DataFrame(rows)

# %% [markdown]
# The cosine falls, and here our threshold would part the two; with the dogs of section 2.10 and the near misses it
# couldn't. The paraphrase judge reads both together and calls the denial a paraphrase all the same, with full
# certainty. The entailment model, trained to know a contradiction, sees it. So reading together is needed and not
# enough: a model must have been taught to tell apart what you want told apart. Now the near misses:

# %%
rows = sample["validation"]
near_misses = [{"text": left, "text_pair": right} for left, right in zip(rows["sentence1"][:], rows["sentence2"][:])]
says_yes = torch.tensor([answer["label"] == "paraphrase" for answer in judge(near_misses, batch_size=16)])
print(f"reads both together: {(says_yes == truth['validation']).float().mean():.0%} of new pairs")
print(f"always “paraphrase”: {always:.0%} of new pairs")

# %% [markdown]
# Its model card says how often it is right on ordinary pairs of news, and what it learned from: some 1,300 labelled
# pairs, after 8,900 that nobody had labelled. Near misses are harder: it beats the constant answer, and is far from
# good. Chapter 07 shows how a head reads a pair, chapters 09 and 10 how such a model is trained.
#
# ### Exercise 2.8
# Write `best_threshold(scores, labels)`: `scores` is a list of floats, `labels` a list of booleans of the same length.
# A pair is called a paraphrase if its score is **at least** the threshold. Return the threshold, a float, with the most
# right calls. Any such threshold is accepted. Remember the two extremes: it may be best to call everything a
# paraphrase, or nothing. For example, `[0.9, 0.4, 0.8]` with `[True, False, True]` gives `0.8` (or any other number
# above 0.4 up to 0.8).

# %% tags=["exercise"]
def best_threshold(scores: list[float], labels: list[bool]) -> float:
    """A threshold with the most right calls, where score >= threshold means True."""
    # BEGIN SOLUTION
    candidates = [*sorted(scores), float("inf")]
    return max(candidates, key=lambda limit: sum((score >= limit) == label for score, label in zip(scores, labels)))
    # END SOLUTION

# %% tags=["check"]
lab.check("2.8", best_threshold)

# %% [markdown]
# `lab.hint("2.8")` helps.

# %%
def compare(first: str, second: str) -> str:
    u, v = embed([first, second])
    return f"cosine similarity {u @ v:.2f}; our threshold is {threshold:.2f}"

form(compare, first="The mayor opened the bridge on Monday.", second="The mayor closed the bridge on Monday.")

# %% [markdown]
# Opposite, and well above the threshold.

# %% [markdown]
# ## 2.12 The wrong checkpoint for a task
# <!-- T041 -->
# Some tutorials show `pipeline("text-classification", model="bert-base-uncased")` and print its answer to *This is a
# positive sentence.* as if it were one. Others warn against exactly that: the head doesn't suit the task. Who is right?
# Before you run this: our encoder has no classification head either. Will there be an error?

# %%
sentence = "This is a positive sentence."
for seed in range(3):
    set_seed(seed)
    print(seed, load("text-classification", "encoder")(sentence))

# %% [markdown]
# No error. Labels and scores like those of a real classifier, except that they are called `LABEL_0` and `LABEL_1`, stay
# near 0.5, and change with the seed: the checkpoint has no classifier, so the library makes a **random** one. It says
# so in a load report. As data:

# %%
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

def report(auto, role: str) -> dict:
    """What is missing from the checkpoint of `role` for the architecture of `auto`, and what was left over."""
    source = lab.checkpoint(role)
    _, info = auto.from_pretrained(source, revision=source.revision, output_loading_info=True)
    return {"missing": sorted(info["missing_keys"]), "left over": sorted(info["unexpected_keys"])[:3]}

cases = {
    "encoder as a classifier": report(AutoModelForSequenceClassification, "encoder"),
    "sentiment as a classifier": report(AutoModelForSequenceClassification, "sentiment"),
    "sentiment as a mask filler": report(AutoModelForMaskedLM, "sentiment"),
}
pd.DataFrame(cases).T

# %% [markdown]
# A weight that is **missing** was made up. If it belongs to the head, every answer of the pipeline is. A weight that is
# **left over** was in the file and isn't used, which is harmless for the answer and says that the checkpoint was meant
# for something else. Only the second row is clean. Now the proof on forty opinions:

# %%
opinions = lab.dataset("opinions")
rows = load_dataset(opinions, revision=opinions.revision, split="test").select(range(40))
truth_here = torch.tensor(rows["label"][:])
set_seed(0)
judges = {"encoder, random head": load("text-classification", "encoder"), "sentiment": classifier}
second = {}
for name, judge in judges.items():
    label = judge.model.config.id2label[1]
    answers = judge(rows["text"][:], top_k=None, batch_size=16)
    second[name] = torch.tensor([next(one["score"] for one in answer if one["label"] == label) for answer in answers])

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True)
for panel, (name, scores) in zip(axes, second.items()):
    for label, colour, what in ((1, "#0072B2", "positive"), (0, "#E69F00", "negative")):
        chosen = scores[truth_here == label].tolist()
        panel.hist(chosen, torch.linspace(0, 1, 21).tolist(), alpha=0.6, color=colour, label=what)
    accuracy = ((scores > 0.5).long() == truth_here).float().mean()
    panel.set(title=f"{name}: {accuracy:.0%} right", xlabel="probability of the second label")
axes[0].set(ylabel="opinions")
axes[0].legend();

# %% [markdown]
# On the left all opinions get nearly the same number, whatever they say: chance. On the right the two colours move
# apart. So the warning is right and the example is wrong: a checkpoint must have been trained with a head for **this**
# task. The model card says which, and the load report tells you what isn't there.
#
# There is a third case, without any report: a head that fits and answers another question. The emotion model is a text
# classifier too.

# %%
load("text-classification", "emotion")("The film was too long, and the ending made me furious.")

# %% [markdown]
# No complaint, and no sentiment. Only you know what you wanted.
#
# ### Exercise 2.9
# Write `untrained_parts(missing)`: it gets the missing keys of a load report, a list of parameter names such as
# `["classifier.weight", "classifier.bias"]`. Return a **sorted list** of the modules that they belong to, each once:
# the name without its last part. For example, these two give `["classifier"]`, and `["cls.predictions.bias",
# "qa_outputs.weight"]` gives `["cls.predictions", "qa_outputs"]`. A clean report gives `[]`.

# %% tags=["exercise"]
def untrained_parts(missing: list[str]) -> list[str]:
    """The modules that hold the missing parameters, sorted, each once."""
    # BEGIN SOLUTION
    return sorted({name.rpartition(".")[0] for name in missing})
    # END SOLUTION

# %% tags=["check"]
lab.check("2.9", untrained_parts)

# %% [markdown]
# `lab.hint("2.9")` helps. In this form you choose the checkpoint by its role: try `sentiment`, `encoder`, `emotion`,
# `translator`, or a role that doesn't exist.

# %%
def with_role(text: str, role: str) -> str:
    missing = report(AutoModelForSequenceClassification, role.strip())["missing"]
    best = load("text-classification", role.strip())(text, truncation=True)[0]
    warning = f"   Don't believe it: untrained are {', '.join(missing)}." if missing else ""
    return f"{best['label']} {best['score']:.2f}{warning}"

print(reply(with_role, {"text": sentence, "role": "fortune-teller"}))
form(with_role, text=sentence, role="encoder")

# %% [markdown]
# ## 2.13 The parameters of `pipeline`
# <!-- T042 -->
# Older tutorials list task, model, config, tokenizer, framework, `use_fast` and `model_kwargs`. `task` and `device` you
# know. Before you run this: `model` may be a name or a model that you have already loaded. What is missing in the
# second case?

# %%
from pathlib import Path
from transformers import AutoConfig

sentiment = lab.checkpoint("sentiment")
loaded = AutoModelForSequenceClassification.from_pretrained(sentiment, revision=sentiment.revision)
with lab.expect_error(Exception):
    pipeline("text-classification", model=loaded)
print("the model came from a folder or repository named", Path(loaded.name_or_path).name)
tokenizer = AutoTokenizer.from_pretrained(sentiment, revision=sentiment.revision)
pipeline("text-classification", model=loaded, tokenizer=tokenizer)("Lovely!")

# %% [markdown]
# The tokenizer. The model does remember where it came from, but `pipeline` doesn't look there. Next, **`config`**. It
# holds the names of the labels, among other things. Before you run this: you give `pipeline` a config with other names.
# Will they come out?

# %%
names = {0: "thumbs down", 1: "thumbs up"}
config = AutoConfig.from_pretrained(sentiment, revision=sentiment.revision, id2label=names)
renamed = AutoModelForSequenceClassification.from_pretrained(sentiment, revision=sentiment.revision, config=config)
print("given to pipeline:       ", load("text-classification", "sentiment", config=config)("Lovely!"))
print("given to from_pretrained:", pipeline("text-classification", model=renamed, tokenizer=tokenizer)("Lovely!"))

# %% [markdown]
# Not from the first: today `pipeline` uses a config only to choose the classes, and the model is loaded with the one in
# its checkpoint. To change something, load the model with your config, and give the pipeline that.
#
# **`dtype`** is the type of the numbers. Before you run this: with half of the bits, how much smaller is the model, and
# how much does a score move?

# %%
rows = {}
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    one = load("text-classification", "sentiment", dtype=dtype)
    size = sum(weight.numel() * weight.element_size() for weight in one.model.parameters()) / 2**20
    rows[str(dtype)] = {"MiB": round(size), "score": one("I hate this so much!")[0]["score"]}
print("without dtype:", classifier.model.dtype)
pd.DataFrame(rows).T.round(5)

# %% [markdown]
# Half the memory, and a score that moves by little. Without `dtype` you get `"auto"`: the type in which the checkpoint
# was saved.
#
# <!-- T306 -->
# **`model_kwargs`** is a dictionary that goes to `from_pretrained`. Before you run this: two settings, handed over
# inside it, and one of the two once more directly. Which arrive?

# %%
settings = {"attn_implementation": "eager", "id2label": names}
for way in ({"model_kwargs": settings}, {"attn_implementation": "eager"}):
    one = load("text-classification", "sentiment", **way)
    print(*way, "→", one.model.config._attn_implementation, one("Lovely!"))

# %% [markdown]
# In `model_kwargs` both arrive, the names that `config` lost among them. Handed over directly, the setting is taken
# without a word and does nothing.
#
# **`batch_size`** says how many texts of a list go through the model at once. The answers stay the same up to rounding;
# chapter 03 measures when it pays.

# %%
many = list(tricky.values())[:6]
alone, together = classifier(many), classifier(many, batch_size=3)
assert [one["label"] for one in alone] == [one["label"] for one in together]
max(abs(a["score"] - b["score"]) for a, b in zip(alone, together))

# %% [markdown]
# And two arguments of older tutorials. Before you run this: there is no TensorFlow in today's library. What does
# `framework="tf"` do?

# %%
is_torch = isinstance(load("text-classification", "sentiment", framework="tf").model, torch.nn.Module)
is_torch, load("text-classification", "sentiment", use_fast=False).tokenizer.is_fast

# %% [markdown]
# Nothing, and nobody says so: you get a PyTorch model. `use_fast=False` is ignored in the same way for this model. An
# argument that is accepted is not yet an argument that works.

# %% [markdown]
# ## What changed since the notes
#
# *The notes* are five study documents, most of them Chinese, that this course grew out of.
#
# | the notes say | today | why |
# | --- | --- | --- |
# | `pipeline("question-answering")` | a class of your own around `AutoModelForQuestionAnswering`, registered as `"extractive-qa"` | removed in version 5 in favour of chat models; the models work as before, and our small ones are better at it than our chat model |
# | `pipeline("translation", …)` | `"translate"`, a class around `AutoModelForSeq2SeqLM` | the same |
# | `pipeline("summarization")` with `max_length`, `min_length` | a chat model and a prompt, in a class of your own around `"text-generation"`; `max_new_tokens`, `min_new_tokens` | the same; and the new names count only what is written |
# | `ConversationalPipeline` | `"text-generation"` with a list of messages | a conversation is one text |
# | `Text2TextGenerationPipeline` | a class of your own around `AutoModelForSeq2SeqLM` | the same |
# | `pipeline("ner", grouped_entities=True)` | `pipeline("ner", aggregation_strategy="simple")` (or `"first"`, `"average"`, `"max"`) | there is more than one way to group |
# | `generator(text, max_length=30)` | `generator(text, max_new_tokens=30)` | `max_length` counts the prompt too |
# | `num_return_sequence=2` | `num_return_sequences=2` | the misspelt one is now an error |
# | `unmasker("… <mask> …")` | `f"… {unmasker.tokenizer.mask_token} …"` | each model has its own mask token |
# | `framework="pt"` or `"tf"` | leave it out | PyTorch is the only one; the argument is ignored |
# | `use_fast=True` | leave it out | ignored |
# | `pipeline(task, model, config=config)` | load the model with `config=config`, and pass model and tokenizer | the pipeline takes the settings from the checkpoint, and from `model_kwargs` |
# | `pipeline("text-generation")` is GPT-2 | name the model and its revision | the default is another model now, with 3 billion parameters |
# | `pipeline("text-classification", model="bert-base-uncased")` | a checkpoint with a trained head for the task | the head is random, and the answer with it |

# %%
for name, kind in (("extractive-qa", ExtractiveQA), ("translate", TextToText), ("summarize", Summarizer)):
    assert PIPELINE_REGISTRY.check_task(name)[1]["impl"] is kind
for way in ("simple", "first", "average", "max"):
    grouped = finder(sylvain, aggregation_strategy=way)
    assert all(set(one) >= {"entity_group", "start", "end"} for one in grouped)
assert len(unmasker(f"Paris is the {unmasker.tokenizer.mask_token} of France.")) == 5
assert len(generator(prompt, max_new_tokens=3, num_return_sequences=2)) == 2
assert generator([message("Hello!")], max_new_tokens=3)[0]["generated_text"][-1]["role"] == "assistant"
assert classifier.tokenizer.is_fast

# %% [markdown]
# ## Quiz

# %%
lab.quiz("02")

# %% [markdown]
# ## Recap
# - The register knows about two dozen tasks; of sixteen old ones, eleven are kept and five removed, and
#   `sentiment-analysis` and `ner` are second names.
# - One call runs a task: labels with scores, labels of your own, more text, an answer in a conversation, a hidden word,
#   names with their places, vectors.
# - A score compares the model's own choices; irony, a bare fact or an empty text get a confident answer too.
# - Question answering, translation and summarization are a short class and a registration away. A chat model does them
#   by a prompt; ours does the first two worse than the small specialists, so measure both.
# - Vectors find what is on the same topic, in many languages if the encoder knows them; whether two sentences say the
#   same needs a model that reads both together, and a threshold needs data.
# - A missing head is made up without an error. The load report names what is missing; read it before the answers.
#
# Next: [03 Inside a pipeline](03_pipeline_internals.ipynb) takes one of these calls apart.

# %% [markdown] tags=["instructor"]
# ## For the instructor
# **Where it sticks.** Watch for these, besides the mistakes that the judges know:
#
# - A score of 0.99 can be read as good news, or as *true*. It is the model's certainty among its own labels (2.2).
# - Zero-shot scores that sum to 1 can be taken for *one of them fits*; see `multi_label` (2.3).
# - Cosine can be taken for sameness of meaning: *not play* is closest of all (2.10), and near misses are about as close
#   as paraphrases (2.11). With the multilingual encoder 0.75 means nothing.
# - *No error, so the checkpoint fits*: 2.12, with the load report as data.
#
# **To discuss:**
#
# - *The library dropped question answering and translation, and says: ask a chat model. Would you have?* Lean on the
#   counts of 2.7, the two numbers of 2.8. A good answer says of which model, and on how few examples; knows that a
#   larger one may differ; and values that the reader's answer stands in the text.
# - *Where should a system be able to say “I don't know”?* Lean on the bars of 2.2; the row without an answer in 2.7;
#   the emotion model in 2.12. A good answer names a place (one more label, a threshold from data, the question *where
#   does the text say so?*) and sees that the score alone won't do.
# - *Is sharing words a good judge of summaries?* Lean on 2.9: the points, then the table beside the wanted summaries. A
#   good answer says that truth and length are not in it, and names the first sentence as the rival to beat.
# - *What does a threshold need before you believe it?* Lean on 2.11: the two heaps; training pairs against new ones. A
#   good answer has it chosen on one set, measured on another, and compared with the constant answer.
#
# **If time is short.** 2.13, 2.6 and 2.5 can be left out (the checking cell of *What changed* uses 2.5 and 2.6). The
# others hang together: 2.2 gives `form` to all, 2.4 `ask`; then come `sorter` of 2.3 in 2.11, `shared_words` of 2.8 in
# 2.9, the headlines of 2.9 in 2.10. Exercise to keep: 2.9; chapters 05 and 07 read load reports again.
#
# **In class.** `labs fetch` brings the chat model and the multilingual encoder; 2.2 needs the second one already. What
# the text says of answers is true offline; in hub mode other models answer. The forms need a running kernel: let each
# student bring one unkind sentence for 2.2.

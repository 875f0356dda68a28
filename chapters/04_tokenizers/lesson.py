# %% [markdown]
# # 04 Tokenizers
#
# You take tokenizers apart, rebuild the important pieces with your own hands, and learn what every argument does.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | compare words, characters and subwords on the same text, and watch BPE, WordPiece and Unigram learn | 2 hours | chapter 00 |
# | rebuild BPE and WordPiece, and see them equal the library's | | Python; no deep learning |
# | go from string to tokens to ids and back, and use every argument of a tokenizer | | |
# | read the layouts of single texts and pairs for seven models | | |
# | say what is in a tokenizer's files, and choose one for English, Chinese or emoji | | |
# | add tokens to a tokenizer and rows to its model | | |

# %%
import labs_utils as lab
lab.start("04")

# %% [markdown]
# A model computes with numbers. A **tokenizer** turns text into numbers and numbers back into text. It decides what the
# model can see at all: what it drops, no layer can bring back.
#
# Two things go with you through this chapter. The first is the encoder's tokenizer, with BERT's own uncased vocabulary.
# The second is a corpus: a hundred short stories, small enough to train a tokenizer on in a blink.

# %%
import pandas as pd
from datasets import load_dataset
from transformers import AutoTokenizer

pd.set_option("display.max_colwidth", 120)
encoder = lab.checkpoint("encoder")
tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)
stories = lab.dataset("stories")
data = load_dataset(stories, revision=stories.revision)
corpus, unseen = list(data["train"]["text"]), list(data["validation"]["text"])
len(corpus), len(unseen), corpus[0][:80]

# %% [markdown]
# ## 4.1 Words, characters, or pieces?
# <!-- T060 -->
# You could give every word a number. You could give every character one. Before you run this, guess for both: how long
# is the vocabulary of the stories, and how much of a **new** story is unknown?
#
# A tokenizer of the `tokenizers` library is a line of stations: a normalizer (here: lower case), a pre-tokenizer (cut
# at white space and punctuation), and a model that looks the pieces up. `build` trains one on the corpus.

# %%
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

settings = {"special_tokens": ["[UNK]"], "show_progress": False}

def build(model, trainer, pre_tokenizer=None):
    """Train `model` on the stories and wrap it for transformers."""
    raw = Tokenizer(model)
    raw.normalizer = normalizers.BertNormalizer(lowercase=True)
    raw.pre_tokenizer = pre_tokenizer or pre_tokenizers.BertPreTokenizer()
    raw.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]")

# %%
each_letter = pre_tokenizers.Split(Regex("."), "isolated")
letters = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), each_letter])
look_up, learn_words = models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer(**settings)
levels = {
    "words": build(look_up, learn_words),
    "characters": build(models.WordLevel(unk_token="[UNK]"), learn_words, letters),
    "subwords": build(models.BPE(unk_token="[UNK]"), trainers.BpeTrainer(vocab_size=2_000, **settings)),
}
lab.compare_tokenizers(levels, "Two dogs carried umbrellas.")

# %% [markdown]
# The same sentence, cut in three ways over its characters. Now measure the three on the stories that they have not
# seen.

# %%
rows = {}
for name, level in levels.items():
    ids = [i for row in level(unseen)["input_ids"] for i in row]
    rows[name] = {
        "vocabulary": len(level),
        "unknown, %": 100 * ids.count(level.unk_token_id) / len(ids),
        "tokens per new story": len(ids) / len(unseen),
    }
sizes = pd.DataFrame(rows).T
sizes.round(1)

# %%
import matplotlib.pyplot as plt

figure, panels = plt.subplots(1, 3, figsize=(9, 2.6))
for axes, column in zip(panels, sizes.columns):
    axes.bar(sizes.index, sizes[column], color=["#0072B2", "#E69F00", "#009E73"])
    axes.set_title(column, fontsize=11)
    axes.grid(axis="x", visible=False)
figure.suptitle("Subwords: nothing unknown, and not many more tokens than words", x=0.01, ha="left");

# %% [markdown]
# Look at the middle panel, then at the right one. Words give short sequences, but every new word is lost: about one
# token in twenty of a new story is `[UNK]`. More text helps only slowly, because there are always new words, and *dog*
# and *dogs* stay two unrelated numbers. Characters know everything, and make the sequence about three times as long.
# **Subwords** keep frequent words whole and spell the rare ones from pieces.

# %% [markdown]
# ## 4.2 Byte-pair encoding: watch it merge
# <!-- T061 -->
# BPE begins with characters. It counts the neighbouring pairs in all words, joins the most frequent one into a new
# symbol, and repeats. That's all. Before you run this: which pair of letters will be joined first in English stories?

# %%
import json

trained = json.loads(levels["subwords"].backend_tokenizer.to_str())["model"]
merges = [tuple(pair) for pair in trained["merges"]]
first = pd.DataFrame(merges[:12], columns=["left", "right"])
first.assign(new=first["left"] + first["right"]).T

# %% [markdown]
# The order is the point: a later merge uses what earlier ones made. Watch a sentence after the first 0, 10, 50, …
# merges.

# %%
def after(count: int) -> Tokenizer:
    """The trained BPE with only its first `count` merges."""
    raw = Tokenizer(models.BPE(vocab=trained["vocab"], merges=merges[:count], unk_token="[UNK]"))
    raw.normalizer, raw.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return raw

for count in (0, 10, 50, 200, 800, len(merges)):
    tokens = after(count).encode("The old man whispered something.").tokens
    print(f"{count:>5} merges:", " | ".join(tokens))

# %%
steps = [0, 3, 10, 30, 100, 300, 1000, len(merges)]
lengths = [sum(len(row.ids) for row in after(count).encode_batch(corpus)) for count in steps]
figure, axes = plt.subplots()
axes.plot(steps, lengths, "o-")
axes.set(xscale="symlog", ylim=(0, None), xlabel="merges", ylabel="tokens in the corpus")
axes.set_title("Each merge shortens the text, the first ones by most");

# %% [markdown]
# The axis of merges is logarithmic: the first ten merges save more than the last thousand. When to stop is your choice;
# it is called the vocabulary size. GPT-2 stopped at 50,000 merges.
#
# ### Exercise 4.1
# Write `count_pairs(words)`. `words` maps a word, as a tuple of symbols, to how often it occurs in the corpus. Return a
# dict that maps each pair of neighbouring symbols, as a tuple, to how often it occurs in the corpus. For example,
# `{("h", "u", "g"): 10, ("h", "u", "g", "s"): 5}` gives `{("h", "u"): 15, ("u", "g"): 15, ("g", "s"): 5}`.

# %% tags=["exercise"]
def count_pairs(words: dict[tuple[str, ...], int]) -> dict[tuple[str, str], int]:
    """How often each pair of neighbouring symbols occurs, over all words and their frequencies."""
    # BEGIN SOLUTION
    pairs = {}
    for symbols, frequency in words.items():
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] = pairs.get(pair, 0) + frequency
    return pairs
    # END SOLUTION

# %% tags=["check"]
lab.check("4.1", count_pairs)

# %% [markdown]
# `lab.hint("4.1")` helps.
#
# ### Exercise 4.2
# Write `merge_pair(word, pair)`: replace each occurrence of the neighbouring `pair` in `word` by its concatenation,
# from left to right, and return the new list. A symbol that has just been merged is not merged again in the same pass.
# For example, `merge_pair(["h", "u", "g", "g", "u", "g"], ("u", "g"))` gives `["h", "ug", "g", "ug"]`.

# %% tags=["exercise"]
def merge_pair(word: list[str], pair: tuple[str, str]) -> list[str]:
    """Replace each neighbouring `pair` in `word` by its concatenation, left to right."""
    # BEGIN SOLUTION
    merged, place = [], 0
    while place < len(word):
        if tuple(word[place : place + 2]) == tuple(pair):
            merged.append(word[place] + word[place + 1])
            place += 2
        else:
            merged.append(word[place])
            place += 1
    return merged
    # END SOLUTION

# %% tags=["check"]
lab.check("4.2", merge_pair)

# %% [markdown]
# `lab.hint("4.2")` helps. With these two functions you have the whole training: count, merge the most frequent, repeat.
#
# ### Exercise 4.3
# A trained BPE is nothing but its ordered list of merges. Write `bpe(word, merges)`: split the string `word` into
# characters, then apply the merges, the earliest in the list first, and return the list of tokens. For example,
# `bpe("hugs", [("g", "s"), ("u", "g"), ("u", "gs"), ("h", "u")])` gives `["h", "ugs"]`: `g s` comes first, so `u g`
# finds no pair any more; `u gs` comes before `h u`, and takes the `u`. Your function meets the library's on random
# words.

# %% tags=["exercise"]
def bpe(word: str, merges: list[tuple[str, str]]) -> list[str]:
    """The tokens of `word` after all `merges`, applied in their order."""
    # BEGIN SOLUTION
    symbols = list(word)
    rank = {tuple(pair): place for place, pair in enumerate(merges)}
    while True:
        neighbours = enumerate(zip(symbols, symbols[1:]))
        found = [(rank[pair], place) for place, pair in neighbours if pair in rank]
        if not found:
            return symbols
        _, place = min(found)
        symbols[place : place + 2] = ["".join(symbols[place : place + 2])]
    # END SOLUTION

# %% tags=["check"]
lab.check("4.3", bpe)

# %% [markdown]
# `lab.hint("4.3")` helps.

# %% [markdown]
# ## 4.3 WordPiece and Unigram, on the same stories
# <!-- T061 -->
# BERT uses **WordPiece**, ALBERT and T5 use **Unigram**. Before you run this: will three algorithms, trained on the
# same text to the same size, cut the same words?

# %%
learn_wordpiece = trainers.WordPieceTrainer(vocab_size=2_000, **settings)
learn_unigram = trainers.UnigramTrainer(vocab_size=2_000, unk_token="[UNK]", **settings)
wordpiece = build(models.WordPiece(unk_token="[UNK]"), learn_wordpiece)
unigram = build(models.Unigram(), learn_unigram, pre_tokenizers.Metaspace())
algorithms = {"BPE": levels["subwords"], "WordPiece": wordpiece, "Unigram": unigram}
lab.compare_tokenizers(algorithms, "unbelievable sleepwalking tokenizers")

# %% [markdown]
# Three ways to write where a word begins or goes on: nothing for this BPE, `##` before a piece *inside* a word for
# WordPiece, `▁` before a piece that *begins* one for Unigram. And often three ways to cut.
#
# **WordPiece** learns pieces as BPE does, but keeps no merges. To encode, it takes the longest piece that fits, then
# the longest that fits the rest. (BERT's vocabulary was learned with Google's own, unpublished program, which scored a
# pair by how much it helps a language model. The `tokenizers` library counts, as for BPE.) So train BPE with the same
# `##` marks, and compare:

# %%
marked = {"continuing_subword_prefix": "##"}
learn_marked = trainers.BpeTrainer(vocab_size=2_000, **settings, **marked)
twin = build(models.BPE(unk_token="[UNK]", **marked), learn_marked)
shared = set(twin.get_vocab()) & set(wordpiece.get_vocab())
f"{len(shared)} of {len(twin)} entries are the same"

# %%
greedy = Tokenizer(models.WordPiece(vocab=twin.get_vocab(), unk_token="[UNK]"))
greedy.normalizer = normalizers.BertNormalizer()
greedy.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
words = sorted({word for text in unseen for word in text.lower().split() if word.isalpha()})
cuts = [(" ".join(twin.tokenize(word)), " ".join(greedy.encode(word).tokens)) for word in words]
ways = ["BPE replays its merges", "WordPiece takes the longest"]
table = pd.DataFrame(cuts, index=words, columns=ways)
differ = table[table[ways[0]] != table[ways[1]]]
print(f"{len(differ)} of {len(words)} words are cut differently with one and the same vocabulary")
differ.head()

# %% [markdown]
# One vocabulary, two ways to use it, and some words in every hundred come out differently. A vocabulary alone is not a
# tokenizer.
#
# **Unigram** goes the other way round: it begins with far too many pieces and drops the ones that are missed least.
# Every piece keeps a log-probability, and a word gets the segmentation with the highest sum. Here is every segmentation
# of one word that the vocabulary allows, by brute force:

# %%
pieces = json.loads(unigram.backend_tokenizer.to_str())["model"]["vocab"]
score = dict(pieces)  # piece: log-probability

def segmentations(text: str) -> list[list[str]]:
    """All ways to cut `text` into pieces of the vocabulary."""
    if not text:
        return [[]]
    cuts = [end for end in range(1, len(text) + 1) if text[:end] in score]
    return [[text[:end], *rest] for end in cuts for rest in segmentations(text[end:])]

scored = [(sum(score[piece] for piece in cut), cut) for cut in segmentations("▁sleepwalking")]
ranked = sorted(scored, reverse=True)
pd.DataFrame(ranked[:4], columns=["log-probability", f"the best of {len(ranked)} segmentations"])

# %%
unigram.tokenize("sleepwalking") == ranked[0][1]

# %% [markdown]
# The library finds the same winner without trying them all, by dynamic programming.

# %% [markdown]
# ## 4.4 Before the pieces: BERT's basic tokenizer
# <!-- T062 -->
# BERT works in two steps: a **basic** tokenizer makes words, then WordPiece cuts them. Before you run this: what will
# be left of the accent, the tab, the Chinese character and the capital letters?

# %%
import re
import string
import unicodedata

def clean(text: str) -> str:
    """Drop control characters; every kind of white space becomes a space."""
    kept = (c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    return "".join(" " if c.isspace() else c for c in kept)

def space_cjk(text: str) -> str:
    """Put spaces around each Chinese character (the main blocks), so that each becomes a word."""
    return re.sub("([\u3400-\u4dbf\u4e00-\u9fff])", r" \1 ", text)

# %%
def strip_accents(text: str) -> str:
    """Take letters and accents apart, and drop the accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")

def split_punctuation(text: str) -> list[str]:
    """Each punctuation mark becomes a word."""
    marks = {c for c in text if c in string.punctuation or unicodedata.category(c)[0] == "P"}
    return "".join(f" {c} " if c in marks else c for c in text).split()

# %%
messy = "The  Café\tin Zürich\u0000 serves 茶, doesn't it?"
stages = {"the text": messy, "1 clean": clean(messy)}
stages["2 space CJK"] = space_cjk(stages["1 clean"])
stages["3 lower case"] = stages["2 space CJK"].lower()
stages["4 strip accents"] = strip_accents(stages["3 lower case"])
stages["5 split punctuation"] = split_punctuation(stages["4 strip accents"])
for name, stage in stages.items():
    print(f"{name:20} {stage!r}")

# %% [markdown]
# The library has this in pure Python, `BasicTokenizer`, and once more in Rust, as the normalizer and the pre-tokenizer
# of the encoder's tokenizer. Do the three agree?

# %%
from transformers import BasicTokenizer

rust = tokenizer.backend_tokenizer
spans = rust.pre_tokenizer.pre_tokenize_str(rust.normalizer.normalize_str(messy))
in_rust = [word for word, _ in spans]
stages["5 split punctuation"] == BasicTokenizer().tokenize(messy) == in_rust

# %% [markdown]
# The notes name a way to protect a word: `never_split`. Before you run this: it keeps the word in one piece, but which
# id will it get?

# %%
text = "Fly to New-York now"
protected = BasicTokenizer(never_split=["New-York"]).tokenize(text)
protected, tokenizer.convert_tokens_to_ids(protected), tokenizer.unk_token_id

# %% [markdown]
# It stays whole, capital letters and all, and its id is that of `[UNK]`: protected, and unknown. `never_split` only
# helps a word that is in the vocabulary. Today's `BertTokenizer` takes the argument and ignores it. What works is to
# **add** the word; section 4.13 shows what that asks of the model.

# %%
from transformers import BertTokenizer

with_word = BertTokenizer(vocab=tokenizer.get_vocab(), never_split=["New-York"])
ignored = with_word.tokenize(text)
with_word.add_tokens(["New-York"])
ignored, with_word.tokenize(text), with_word.convert_tokens_to_ids("New-York")

# %% [markdown]
# Now the second step. These words come out of the first one whole:

# %%
lab.tokens(tokenizer, "a tokenizer unbelievably flibbertigibbet 🙂")

# %% [markdown]
# A piece with `##` continues the word before it. Common words are one token, made-up words are many. The emoji is not
# in the vocabulary, and has no smaller parts: `[UNK]`.
#
# ### Exercise 4.4
# Write `wordpiece_word(word, vocab)`. Take the longest beginning of `word` that is in `vocab` (a set of strings), then
# the longest piece of what is left, and so on; every piece but the first is looked up with `##` in front. When nothing
# fits, the whole word becomes `["[UNK]"]`. For example, with the vocabulary `{"un", "##a", "##aff", "##able"}` the word
# `"unaffable"` gives `["un", "##aff", "##able"]`, and `"unable"` gives `["un", "##able"]`.

# %% tags=["exercise"]
def wordpiece_word(word: str, vocab: set[str]) -> list[str]:
    """The pieces of one word, longest match first; `["[UNK]"]` when it can't be spelled."""
    # BEGIN SOLUTION
    found, begin = [], 0
    while begin < len(word):
        prefix = "##" if begin else ""
        ends = [end for end in range(len(word), begin, -1) if prefix + word[begin:end] in vocab]
        if not ends:
            return ["[UNK]"]
        found.append(prefix + word[begin : ends[0]])
        begin = ends[0]
    return found
    # END SOLUTION

# %% tags=["check"]
lab.check("4.4", wordpiece_word)

# %% [markdown]
# `lab.hint("4.4")` helps. When it passes, try `wordpiece_word("unbelievably", set(tokenizer.get_vocab()))` in a cell of
# your own: it gives BERT's tokens.

# %% [markdown]
# ## 4.5 String, tokens, ids
# <!-- T063 T064 -->
# Three forms of a text, and a method for every step between them. Before you run this: which steps will lose something?

# %%
tokens = tokenizer.tokenize("hello world!")  # string → tokens
ids = tokenizer.convert_tokens_to_ids(tokens)  # tokens → ids
tokens, ids, tokenizer.convert_ids_to_tokens(ids), tokenizer.convert_tokens_to_string(tokens)

# %%
encoded = tokenizer.encode("hello world!")  # string → ids, with the special tokens
encoded, tokenizer.decode(encoded), tokenizer.decode(encoded, skip_special_tokens=True)

# %% [markdown]
# `encode` is `tokenize` and `convert_tokens_to_ids`, with 101 and 102 around them: `[CLS]` and `[SEP]`. The notes
# decode a list of ten ids and say what comes out: *what is a good answer to the question*. Run it:

# %%
tokenizer.convert_ids_to_tokens([101, 2023, 2003, 1037, 2232, 1999, 1996, 2190, 2226, 102])

# %% [markdown]
# That answer was made up. `convert_ids_to_tokens` is a look-up in a table, and a cell settles it.
#
# Is `decode` the inverse of `encode`?

# %%
original = "Zürich's  cafés: 3.50€ — très 🙂!"
back = tokenizer.decode(tokenizer.encode(original), skip_special_tokens=True)
pd.Series({"before": original, "after": back, "equal": original == back}).to_frame("there and back")

# %% [markdown]
# Not with this tokenizer. Capital letters, accents, double spaces and unknown characters are gone before the ids are
# made.
#
# The notes use `encode_plus` for one text and `batch_encode_plus` for several. Today you **call** the tokenizer, with a
# string or with a list.

# %%
with lab.expect_error(AttributeError):
    tokenizer.encode_plus("hello world!")
tokenizer("hello world!")

# %%
tokenizer(["hello world!", "hello hugging world!"])

# %% [markdown]
# You get a `BatchEncoding`: a dict with `input_ids`, `token_type_ids` (section 4.6) and `attention_mask` (section 4.8).

# %% [markdown]
# ## 4.6 One text, two texts, three texts
# <!-- T066 T067 -->
# BERT reads one text, or a pair: a question and a passage, a premise and a claim. Before you run this: how many `[CLS]`
# and how many `[SEP]` does a pair have? And where does the second text begin in `token_type_ids`?

# %%
lab.tokens(tokenizer, "I love NLP.", "It is fascinating.")

# %%
pair = tokenizer("I love NLP.", "It is fascinating.")
single = tokenizer("I love NLP.")
for name, encoding in {"single": single, "pair": pair}.items():
    print(name, {mark: encoding.tokens().count(mark) for mark in ("[CLS]", "[SEP]")})
pd.DataFrame([pair.tokens(), pair["token_type_ids"]], index=["token", "type"])

# %% [markdown]
# One `[CLS]`, always first. One `[SEP]` after **each** text, the last included. The type is 0 up to the first `[SEP]`
# and with it, then 1.
#
# The notes go on: with three sentences the third gets type 2. Try it. Before you run this: what will a third text
# become?

# %%
three = tokenizer("I love NLP.", "It is fascinating.", "Language processing is amazing.")
for name in ("input_ids", "labels"):
    print(f"{name:10} {tokenizer.decode(three[name])}")
three["token_type_ids"]

# %% [markdown]
# The third text is not in the input at all. It went into `labels`, because the third parameter is `text_target`, the
# target of a translation. A list would not help either: it is a batch of separate texts. So make type 2 by hand, and
# ask the model.

# %%
from transformers import AutoModel

model = AutoModel.from_pretrained(encoder, revision=encoder.revision).eval()
model.config.type_vocab_size, model.embeddings.token_type_embeddings

# %%
by_hand = tokenizer("I love NLP.", "It is fascinating.", return_tensors="pt")
by_hand["token_type_ids"][0, -2:] = 2
with lab.expect_error(IndexError):
    model(**by_hand)

# %% [markdown]
# BERT learned two type vectors, for type 0 and type 1. There is no row for a 2. The correct statement: **BERT has two
# types; three sentences are still one or two segments.** Join the sentences that belong together, with `[SEP]` between
# them if you like:

# %%
joined = tokenizer("I love NLP.", "It is fascinating. [SEP] Language processing is amazing.")
pd.DataFrame([joined.tokens(), joined["token_type_ids"]], index=["token", "type"])

# %% [markdown]
# ### Exercise 4.5
# Write `pack(first, second, cls, sep)`: `first` is a list of ids, `second` another one or `None`; `cls` and `sep` are
# ids. Return two lists, BERT's `input_ids` and `token_type_ids`. For example, `pack([7], [8, 9], 101, 102)` gives
# `([101, 7, 102, 8, 9, 102], [0, 0, 0, 1, 1, 1])`.

# %% tags=["exercise"]
def pack(first: list[int], second: list[int] | None, cls: int, sep: int) -> tuple[list[int], list[int]]:
    """BERT's input ids and token types for one text or for a pair."""
    # BEGIN SOLUTION
    start = [cls, *first, sep]
    rest = [] if second is None else [*second, sep]
    return start + rest, [0] * len(start) + [1] * len(rest)
    # END SOLUTION

# %% tags=["check"]
lab.check("4.5", pack)

# %% [markdown]
# `lab.hint("4.5")` helps.

# %% [markdown]
# ## 4.7 Seven models, seven layouts
# <!-- T068 -->
# Each model was trained with its own marks around the text. Before you run this: RoBERTa is "BERT, trained better".
# Will its pair look like BERT's?
#
# The classes are the library's own. The vocabularies are small ones from our stories: a layout does not depend on the
# words. Each class wants its special tokens at certain places, and the Unigram pieces of section 4.3 after them.

# %%
from transformers import AlbertTokenizer, BartTokenizer, RobertaTokenizer
from transformers import XLMRobertaTokenizer, XLNetTokenizer

own = [(piece, value) for piece, value in pieces if piece != "[UNK]"]

def with_special(*special: str) -> list[tuple[str, float]]:
    """Our Unigram vocabulary with the special tokens of a model in front."""
    return [(token, 0.0) for token in special] + own

albert = AlbertTokenizer(vocab=with_special("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"))
xlnet = XLNetTokenizer(vocab=with_special("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>"))
xlm_roberta = XLMRobertaTokenizer(vocab=with_special("<s>", "<pad>", "</s>", "<unk>", "<mask>"))

# %% [markdown]
# RoBERTa and BART use **byte-level** BPE. We train one, again on the stories; section 4.9 looks inside.

# %%
def byte_level(texts: list[str], size: int) -> dict:
    """Train byte-level BPE on `texts`; return its vocabulary and its merges."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    options = {"special_tokens": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "show_progress": False}
    alphabet = pre_tokenizers.ByteLevel.alphabet()  # 256 characters, one for each byte
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, **options)
    raw.train_from_iterator(texts, trainer)
    learned = json.loads(raw.to_str())["model"]
    return {"vocab": learned["vocab"], "merges": [tuple(pair) for pair in learned["merges"]]}

byte_files = byte_level(corpus, 2_000)
roberta, bart = RobertaTokenizer(**byte_files), BartTokenizer(**byte_files)

# %% [markdown]
# XLM is the odd one out. Its BPE marks the ends of words with `</w>`, and lives in two files. Train one more:

# %%
import tempfile
from pathlib import Path

files = tempfile.TemporaryDirectory()  # goes away with the kernel
raw = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
marks = ["<s>", "</s>", "<pad>", "<unk>", *[f"<special{i}>" for i in range(10)]]
options = {"special_tokens": marks, "end_of_word_suffix": "</w>", "show_progress": False}
raw.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=2_000, **options))
written = raw.model.save(files.name)  # vocab.json and merges.txt

# %% [markdown]
# XLM's class is pure Python, and its constructor asks for `sacremoses`, a package that splits words. We split the words
# ourselves, so an empty stand-in for the package is enough. XLM's own `bpe` then cuts them.

# %%
import sys
import types
from unittest import mock
from transformers import XLMTokenizer

with mock.patch.dict(sys.modules, sacremoses=types.ModuleType("sacremoses")):
    xlm = XLMTokenizer(*written)

# %%
def layout(tokenizer, *texts: str) -> str:
    """The special tokens around texts, with A and B for the texts' own tokens."""
    encoded = tokenizer(*texts)
    owners = encoded.sequence_ids()  # None for a special token, 0 for the first text, 1 for the second
    names = [mark if owner is None else "AB"[owner] for mark, owner in zip(encoded.tokens(), owners)]
    return re.sub(r"\b([AB])( \1\b)+", r"\1", " ".join(names))  # A A A becomes A

family = {"BERT": tokenizer, "RoBERTa": roberta, "ALBERT": albert, "XLNet": xlnet}
family |= {"XLM-R": xlm_roberta, "BART": bart}
question, reply = "where is the dog", "in the garden"
layouts = {name: [layout(one, question), layout(one, question, reply)] for name, one in family.items()}

# %% [markdown]
# XLM has no `sequence_ids`, but a method that puts its marks around the ids of one text or two. Give it texts that are
# one token each, A and B:

# %%
A, B = (xlm.convert_tokens_to_ids([xlm.bpe(letter)]) for letter in ("a", "I"))  # one token each
names = {A[0]: "A", B[0]: "B"}
filled = [xlm.build_inputs_with_special_tokens(A), xlm.build_inputs_with_special_tokens(A, B)]
layouts["XLM"] = [" ".join(names.get(i, xlm.convert_ids_to_tokens(i)) for i in ids) for ids in filled]
pd.DataFrame(layouts, index=["single", "pair"]).T

# %% [markdown]
# Read the pairs. BERT and ALBERT agree. RoBERTa, XLM-R and BART put **two** marks between the texts, XLM only one.
# XLNet puts its `<cls>` at the **end**. The marks have other names, but the same jobs: `<s>` does what `[CLS]` does,
# `</s>` what `[SEP]` does. (The notes' table writes BERT's pair with A twice; a slip.)
#
# Do they have types, too?

# %%
asked = {name: one(question, reply, return_token_type_ids=True) for name, one in family.items()}
seen = {name: sorted(set(encoding["token_type_ids"])) for name, encoding in asked.items()}
pd.Series(seen).to_frame("types in a pair")

# %% [markdown]
# RoBERTa, BART and XLM-R tell the texts apart by the marks alone. XLNet does know a type 2: for its `<cls>` token, not
# for a third sentence. XLNet has another habit of its own:

# %%
both = ["the dog", "where is the dog in the garden"]
mask = xlnet(both, padding=True)["attention_mask"]
lab.heatmap(mask, rows=both, title="XLNet pads on the left (0 = padding)")

# %% [markdown]
# The zeros of the short text stand in front. That is why you never write these marks yourself: the model's tokenizer
# knows.

# %% [markdown]
# ## 4.8 Every argument, one effect
# <!-- T065 -->
# A batch is a rectangle, and texts are not equally long. Before you run this: what happens without padding?

# %%
texts = ["Yes.", "Where is the dog?", "The dog sleeps in the garden behind the house."]
with lab.expect_error(ValueError):
    tokenizer(texts, return_tensors="pt")

# %%
asked = [
    {"padding": True},
    {"padding": "max_length", "max_length": 16},
    {"padding": True, "pad_to_multiple_of": 8},
    {"padding": True, "truncation": True, "max_length": 6},
    {"padding": True, "add_special_tokens": False},
]
shapes = [tuple(tokenizer(texts, **how, return_tensors="pt")["input_ids"].shape) for how in asked]
pd.DataFrame({"shape of input_ids": shapes}, index=[str(how).strip("{}") for how in asked])

# %%
batch = tokenizer(texts, padding=True)
lab.heatmap(batch["attention_mask"], rows=texts, title="attention_mask: 0 where there is padding")

# %% [markdown]
# `padding=True` fills up to the longest text **of this batch**, `"max_length"` up to a fixed length,
# `pad_to_multiple_of` up to a round number that some hardware likes. Truncation cuts the text, never the special
# tokens:

# %%
cut = tokenizer(texts[2], truncation=True, max_length=6)
print(tokenizer.decode(cut["input_ids"]))
tokenizer.decode(tokenizer(texts[2], add_special_tokens=False)["input_ids"])

# %% [markdown]
# In a pair you choose who loses. Question answering cuts the passage, not the question: `"only_second"`. (With `True`
# it is the longer text, token by token.)

# %%
first, second = "Where does the old dog sleep?", "It sleeps in the garden behind the house."
for strategy in ("longest_first", "only_first", "only_second"):
    ids = tokenizer(first, second, truncation=strategy, max_length=15)["input_ids"]
    print(f"{strategy:14}", tokenizer.decode(ids))

# %% [markdown]
# The `return_…` arguments choose what you get: as lists, as NumPy arrays, as tensors, and with which extras.

# %%
for kind in (None, "np", "pt"):
    print(kind, "→", type(tokenizer(texts[0], return_tensors=kind)["input_ids"]).__name__)
with lab.expect_error(ValueError):
    tokenizer(texts[0], return_tensors="tf")

# %%
extras = tokenizer(
    "Dogs sleepwalk.",
    return_attention_mask=False,
    return_token_type_ids=False,
    return_special_tokens_mask=True,
    return_offsets_mapping=True,
)
pd.DataFrame({"token": extras.tokens(), **extras}).T

# %% [markdown]
# Two rows went away, two came. `special_tokens_mask` has a 1 where a token is not text. `offset_mapping` says which
# characters of your string the token covers; a special token covers none.
#
# And a text that is too long? `return_overflowing_tokens` gives what was cut as further pieces, and `stride` is how
# many tokens neighbouring pieces share, so that no answer is cut in two. Before you run this: how many pieces will
# these 12 words make, with room for 8 tokens each and a stride of 2?

# %%
long = "one two three four five six seven eight nine ten eleven twelve"
cut = tokenizer(long, truncation=True, max_length=8, stride=2, return_overflowing_tokens=True)
[tokenizer.decode(piece) for piece in cut["input_ids"]], cut["overflow_to_sample_mapping"]

# %% [markdown]
# Each piece has room for six words: two places go to `[CLS]` and `[SEP]`. Each new piece repeats the last two words of
# the one before. `overflow_to_sample_mapping` tells you which text a piece came from.
#
# ### Exercise 4.6
# Write `windows(length, max_length, stride)`: for a text of `length` tokens (special tokens not counted), return the
# pieces that BERT's tokenizer makes of it, as a list of `(start, end)` positions, `end` not included. Each piece of
# `max_length` tokens includes `[CLS]` and `[SEP]`. For example, `windows(12, 8, 2)` gives `[(0, 6), (4, 10), (8, 12)]`,
# as above. A text that fits is one piece.

# %% tags=["exercise"]
def windows(length: int, max_length: int, stride: int) -> list[tuple[int, int]]:
    """Start and end of every piece of a text of `length` tokens; neighbours share `stride` tokens."""
    # BEGIN SOLUTION
    room = max_length - 2
    found = [(0, min(room, length))]
    while found[-1][1] < length:
        start = found[-1][1] - stride
        found.append((start, min(start + room, length)))
    return found
    # END SOLUTION

# %% tags=["check"]
lab.check("4.6", windows)

# %% [markdown]
# `lab.hint("4.6")` helps.

# %% [markdown]
# ## 4.9 WordPiece or bytes: what is in the files
# <!-- T069 -->
# The notes say that BERT uses *BPE on the level of characters*, with *some 30,000 words* and 100 reserved `[unused]`
# places. Before you run this: how many of the 30,522 entries do you think are words?

# %%
vocabulary = tokenizer.get_vocab()

def kind(entry: str) -> str:
    """What sort of entry of BERT's vocabulary this is."""
    if entry in tokenizer.all_special_tokens:
        return "special"
    if entry.startswith("[unused"):
        return "[unused…]"
    if entry.startswith("##"):
        return "## continuations"
    return "single characters" if len(entry) == 1 else "words and beginnings of words"

census = pd.Series([kind(entry) for entry in vocabulary]).value_counts()
census.to_frame("entries")

# %%
figure, axes = plt.subplots(figsize=(7.2, 2.4))
axes.barh(census.index[::-1], census.values[::-1], color="#0072B2")
axes.set(xlabel="entries of the vocabulary")
axes.set_title("Not 30,000 words: about a quarter of BERT's entries are something else");

# %% [markdown]
# The longest bar holds words, but also beginnings such as *fl*, numbers and names. Almost six thousand entries are
# continuations, and there are nearly a thousand `[unused]` places, not a hundred. (The notes may have looked at the
# first hundred rows of the file.)
#
# Is it BPE? A BPE needs merges. Look at what the file keeps for each:

# %%
for name, one in {"BERT": tokenizer, "RoBERTa": roberta}.items():
    inside = json.loads(one.backend_tokenizer.to_str())["model"]
    print(name, "is", inside["type"], "and has merges:", "merges" in inside)

# %%
for name, one in {"bert": tokenizer, "roberta": roberta}.items():
    folder = Path(files.name, name)
    folder.mkdir(exist_ok=True)
    one.backend_tokenizer.model.save(str(folder))
    for path in sorted(folder.iterdir()):
        head = path.read_text("utf-8")[:40].replace("\n", " ⏎ ")
        print(f"{name:8} {path.name:11} {path.stat().st_size:>8,} bytes   {head} …")

# %% [markdown]
# `vocab.txt` is one entry a line, and the line number is the id. There are no merges: section 4.3 showed that replaying
# merges gives other tokens than the longest match, even with one vocabulary. The correct statement: **BERT's vocabulary
# is WordPiece, learned from characters and applied by longest match.** The notes are half right: it does begin with
# characters, as BPE does.
#
# For byte-level BPE, `merges.txt` is not the list of tokens, as the notes have it, but the list of **rules**.
# `vocab.json` maps the tokens to ids. Its alphabet is the 256 bytes, each written as a visible character: `Ġ` is the
# space.
#
# Now the difference that you will notice. Before you run this: which of the two can lose something?

# %%
samples = ["the dog", "café", "茶", "🙂", "日本"]
rows = []
for sample in samples:
    row = {"text": sample, "UTF-8 bytes": len(sample.encode())}
    for name, one in {"BERT": tokenizer, "byte-level": roberta}.items():
        ids = one(sample, add_special_tokens=False)["input_ids"]
        row[f"{name}: tokens"] = " ".join(one.convert_ids_to_tokens(ids))
        row[f"{name}: comes back"] = one.decode(ids)
    rows.append(row)
pd.DataFrame(rows)

# %% [markdown]
# The byte-level tokenizer has never met an emoji or a Chinese character, and loses nothing: every text is bytes, so
# `[UNK]` is impossible. It pays with length, one token for each byte that it has no merge for: four for the emoji,
# three for 茶. BERT gives one token, but where a character is missing, one `[UNK]` for whatever stood there.

# %% [markdown]
# ## 4.10 Fast and slow
# <!-- T070 -->
# The notes speak of two tokenizers for each model: a *slow* one in Python and a *fast* one in Rust. In version 5 there
# is one class per model, and it is the fast one; `use_fast=False` changes nothing.

# %%
from transformers import BertTokenizerFast, BertTokenizerLegacy

asked_slow = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision, use_fast=False)
asked_slow.is_fast, BertTokenizerFast is BertTokenizer

# %% [markdown]
# The old Python code is still there, as `BertTokenizerLegacy`. So you can measure: the same `vocab.txt`, the same ids,
# Python against Rust. Before you run this: how many times faster do you expect Rust to be? More on one text, or more on
# 10,000?

# %%
from time import perf_counter

slow = BertTokenizerLegacy(str(Path(files.name, "bert", "vocab.txt")))
sentences = [part for text in corpus for part in re.split(r"(?<=[.!?])\s+", text)]
many = (sentences * (10_000 // len(sentences) + 1))[:10_000]

def seconds(function, *arguments) -> float:
    start = perf_counter()
    function(*arguments)
    return perf_counter() - start

# %%
contenders = {"slow": slow, "fast": tokenizer}

def each(one, texts: list[str]) -> None:
    """A call for each text."""
    for text in texts:
        one(text)

alone = {name: seconds(each, one, many[:1000]) / 1000 for name, one in contenders.items()}
listed = {name: seconds(one, many) / len(many) for name, one in contenders.items()}
speed = pd.DataFrame({"one text a call": alone, "10,000 in a list": listed}) * 1e6
speed.round(0)

# %%
axes = speed.T.plot.bar(rot=0, color=["#E69F00", "#0072B2"], figsize=(6, 3))
axes.set(ylabel="microseconds per text", title="Rust is faster, on single texts and on a long list")
assert slow(many[:500])["input_ids"] == tokenizer(many[:500])["input_ids"]  # and makes the same ids

# %% [markdown]
# Compare the two bars of each group: lower is faster. Rust wins both times, by a small factor rather than by a hundred.
#
# What this compares: two implementations of the same WordPiece, with all that a call does around it, on this machine,
# on one thread (`lab.start` switches the parallel mode off), on sentences of about fifty characters. On a busy machine
# the bars wobble; run the cell again.
#
# Speed is not the only difference. Only the fast one keeps track of the characters:

# %%
for name, one in contenders.items():
    print(name, list(one("Dogs sleepwalk.", return_offsets_mapping=True)))
with lab.expect_error(ValueError):
    slow("Dogs sleepwalk.").word_ids()

# %%
fast = tokenizer("Dogs sleepwalk.", return_offsets_mapping=True)
pd.DataFrame({"token": fast.tokens(), "offsets": fast["offset_mapping"], "word": fast.word_ids()}).T

# %% [markdown]
# The slow one leaves the offsets out without a word, and refuses `word_ids`. Offsets are what named entities and
# question answering need, to mark the answer in *your* text.
#
# ### Exercise 4.7
# Write `tokens_of_span(offsets, start, end)`: `offsets` is a list of `(first, last)` character positions, one for each
# token, `last` not included; special tokens have `(0, 0)`. Return the indices of the tokens that cover at least one
# character of the span from `start` to `end` (not included). For example, for the offsets above, `[(0, 0), (0, 4), (5,
# 10), (10, 14), (14, 15), (0, 0)]`, the span from 8 to 12 gives `[2, 3]`.

# %% tags=["exercise"]
def tokens_of_span(offsets: list[tuple[int, int]], start: int, end: int) -> list[int]:
    """Indices of the tokens that cover at least one character from `start` to `end` (not included)."""
    # BEGIN SOLUTION
    return [index for index, (first, last) in enumerate(offsets) if max(first, start) < min(last, end)]
    # END SOLUTION

# %% tags=["check"]
lab.check("4.7", tokens_of_span)

# %% [markdown]
# `lab.hint("4.7")` helps.

# %% [markdown]
# ## 4.11 Cased, uncased, Chinese
# <!-- T072 -->
# Our encoder is *uncased*. A *cased* vocabulary keeps capital letters and accents. We train one on the stories. Before
# you run this: is `The` the same entry as `the`?

# %%
raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
raw.normalizer = normalizers.BertNormalizer(lowercase=False)
raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
bert_special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
options = {"special_tokens": bert_special, "show_progress": False}
raw.train_from_iterator(corpus, trainers.WordPieceTrainer(vocab_size=2_000, **options))
cased = BertTokenizer(vocab=raw.get_vocab(), do_lower_case=False)
for one in (cased, tokenizer):
    print(one.tokenize("The dog and the cat"), one.convert_tokens_to_ids(["The", "the"]))

# %% [markdown]
# Cased, `The` and `the` are two tokens with two ids (BERT's uncased vocabulary answers `The` with 100, its `[UNK]`).
# That is more to learn, but a name or the start of a sentence can be seen. Named entities like cased models; search
# mostly prefers uncased ones.
#
# A trap: the file `vocab.txt` does not say which it is. Before you run this: what will a tokenizer loaded from that
# file alone do to capital letters?

# %%
bare = Path(files.name, "bare")
bare.mkdir(exist_ok=True)
saved = cased.backend_tokenizer.model.save(str(bare))
guessed = BertTokenizer.from_pretrained(bare)
told = BertTokenizer.from_pretrained(bare, do_lower_case=False)
guessed.tokenize("The dog"), told.tokenize("The dog")

# %% [markdown]
# It lowers them, and all entries with a capital letter are never used again. Nothing warns you. Keep the whole folder
# that `save_pretrained` writes, or say `do_lower_case=False`.
#
# Now Chinese. Before you run this: what will BERT's **English** vocabulary make of the notes' own example?

# %%
chinese = "来到美丽的大自然，我们发现"
lab.tokens(tokenizer, chinese)

# %% [markdown]
# English Wikipedia contains some Chinese characters, so some are there. The others become `[UNK]`: the same id for
# every one of them.
#
# BERT's Chinese vocabulary has one entry for each character. Make a small one from Chinese hotel reviews, and measure
# it on reviews that it has not seen, against three others.

# %%
hotel = lab.dataset("hotel_reviews")
reviews = load_dataset(hotel, "zh", revision=hotel.revision)["train"]["review"]
reviews = [review for review in reviews if review]
known, fresh = reviews[:-100], reviews[-100:]
characters = sorted({c for review in known for c in review if not c.isspace()})
zh = BertTokenizer(vocab={entry: index for index, entry in enumerate(bert_special + characters)})
len(zh), zh.tokenize(chinese)

# %% [markdown]
# The fourth is byte-level again, but trained on the Chinese reviews, to the same size.

# %%
bytes_zh = RobertaTokenizer(**byte_level(known, len(zh)))
candidates = {
    "BERT's English WordPiece": tokenizer,
    "Chinese characters": zh,
    "bytes, trained on English": roberta,
    "bytes, trained on Chinese": bytes_zh,
}

# %%
length = sum(len(review) for review in fresh)
rows = {}
for name, one in candidates.items():
    ids = [i for row in one(fresh, add_special_tokens=False)["input_ids"] for i in row]
    unknown = ids.count(one.unk_token_id)
    rows[name] = {"tokens per character": len(ids) / length, "unknown, %": 100 * unknown / len(ids)}
chinese_table = pd.DataFrame(rows).T
chinese_table.round(2)

# %%
figure, panels = plt.subplots(1, 2, figsize=(9, 2.6), sharey=True)
for axes, column in zip(panels, chinese_table.columns):
    axes.barh(chinese_table.index[::-1], chinese_table[column][::-1], color="#0072B2")
    axes.set(xlabel=column)
figure.suptitle("Chinese text: what counts is what the vocabulary was trained on", x=0.01, ha="left");

# %% [markdown]
# Look at both panels: short bars are good. With the English vocabulary most of a review is unknown. The Chinese
# characters lose almost nothing. The notes say that bytes do not suit Chinese, and with merges from **English** text
# that is true: more than two tokens for each character. With merges from **Chinese** text and a vocabulary of the same
# size, bytes need fewer tokens than there are characters, and can't meet an unknown one.

# %% [markdown]
# ## 4.12 Saving and loading
# <!-- T071 -->
# The notes list many files: `vocab.txt`, `special_tokens_map.json`, `added_tokens.json`, `merges.txt` and more. Before
# you run this: how many does `save_pretrained` write today?

# %%
box = Path(files.name, "saved")
written = tokenizer.save_pretrained(box)
for path in sorted(box.iterdir()):
    print(f"{path.name:22} {path.stat().st_size:>8,} bytes")

# %%
whole = json.loads((box / "tokenizer.json").read_text("utf-8"))
{name: part["type"] for name, part in whole.items() if isinstance(part, dict)}

# %%
config = json.loads((box / "tokenizer_config.json").read_text("utf-8"))
{name: config[name] for name in ("tokenizer_class", "do_lower_case", "model_max_length", "cls_token")}

# %% [markdown]
# Two files. `tokenizer.json` is the whole line of stations: normalizer, pre-tokenizer, model with vocabulary,
# post-processor (the special tokens around the text), decoder. `tokenizer_config.json` says which class to make of it.
# `AutoTokenizer` reads that one first.
#
# Does a loaded tokenizer do the same? And what goes missing without the second file?

# %%
again = AutoTokenizer.from_pretrained(box)
same = again(corpus)["input_ids"] == tokenizer(corpus)["input_ids"]
(box / "tokenizer_config.json").unlink()
nameless = AutoTokenizer.from_pretrained(box)
same, type(again).__name__, type(nameless).__name__, list(nameless("hello world!"))

# %% [markdown]
# The ids are the same. Without the config the library can only make a general tokenizer: the ids are still right, but
# it has forgotten that this model wants `token_type_ids`. Keep a tokenizer's folder together, and keep it with its
# model: a row of the embedding matrix means something only with this vocabulary.

# %% [markdown]
# ## 4.13 Adding tokens
# <!-- T073 -->
# Your texts are about something that the vocabulary cuts into pieces. You can add a token. Before you run this: what
# will the model do with an id that it has never had?

# %%
grown = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)
print(grown.tokenize("a sleepwalking flibbertigibbet"))
grown.add_tokens(["sleepwalking", "flibbertigibbet"])
print(grown.tokenize("a sleepwalking flibbertigibbet"))
grown.vocab_size, len(grown)

# %%
new = grown("a sleepwalking flibbertigibbet", return_tensors="pt")
with lab.expect_error(IndexError):
    model(**new)

# %% [markdown]
# `vocab_size` is the original vocabulary, `len` counts the added tokens too. The embedding matrix has a row for each
# **old** id. So make it longer:

# %%
embeddings = model.resize_token_embeddings(len(grown))  # Embedding(30524, 384)
weights = embeddings.weight.detach()
embeddings, (weights[-1] - weights[-2]).abs().max().item()

# %%
import torch

with torch.inference_mode():
    vectors = model(**new).last_hidden_state  # [1, tokens, width]
vectors.shape

# %% [markdown]
# The model runs. But the library told you what it put into the new rows: the mean of all the others, with hardly any
# noise. The largest difference between the two new rows is close to zero: two words, one meaning, until you train. A
# better start is often the mean of the **pieces** that the word had before.

# %%
cosine = torch.nn.functional.cosine_similarity
word = grown.convert_tokens_to_ids("sleepwalking")
parts = tokenizer("sleepwalking", add_special_tokens=False)["input_ids"]
known_words = ["asleep", "walking", "hotel"]
relatives = weights[tokenizer.convert_tokens_to_ids(known_words)]  # [3, width]
as_resized = cosine(weights[word][None], relatives)  # [3]
weights[word] = weights[parts].mean(dim=0)
compared = torch.stack([as_resized, cosine(weights[word][None], relatives)])
starts = ["mean of all rows", "mean of its pieces"]
lab.heatmap(compared, rows=starts, columns=known_words, title="“sleepwalking” gets a meaning from its pieces")

# %% [markdown]
# Each number is the cosine similarity between the new row and the row of a known word. As the library made it, the new
# row is close to none of them. As the mean of its pieces, it is closer to *asleep* and *walking* than to *hotel*,
# before any training. Two more things about added tokens:

# %%
from tokenizers import AddedToken

grown.add_tokens([AddedToken("walk", single_word=False), AddedToken("talk", single_word=True)])
grown.add_special_tokens({"additional_special_tokens": ["[USER]"]})
line = grown("[USER] sidewalk smalltalk talk")["input_ids"]
grown.convert_ids_to_tokens(line), grown.decode(line, skip_special_tokens=True)

# %% [markdown]
# An added token is found **before** the text is cut into words, and inside words too, unless you say
# `single_word=True`. And a token that you add as *special* is left out by `skip_special_tokens`. The `[unused]` rows of
# section 4.9 are another way: they are there already, so the matrix need not grow, but they have no training either.

# %% [markdown]
# ## 4.14 Explore
# <!-- T074 -->
# Here are all the tokenizers of this chapter on one line of text. Before you run this: which will need the fewest
# tokens, and which will lose something?

# %%
explorer = {
    "BERT's WordPiece (30,522)": tokenizer,
    "WordPiece from the stories": wordpiece,
    "BPE from the stories": levels["subwords"],
    "Unigram from the stories": unigram,
    "byte-level BPE from the stories": roberta,
    "cased WordPiece from the stories": cased,
    "Chinese characters": zh,
    "characters": levels["characters"],
    "words": levels["words"],
}

# %%
line = "The unbelievable café: 12€ 🙂 茶"
lab.compare_tokenizers(explorer, line)

# %% [markdown]
# Red is unknown. A short row is not yet a good one: the row of words is short, and most of it is lost. Now type
# anything, choose a tokenizer, and watch: your name, an emoji with skin colour, a long number, a line of Python, your
# own language.

# %%
lab.token_explorer(explorer, line)

# %% [markdown]
# (On a static page the field does not answer; open the notebook.)
#
# ## What changed since the notes
#
# | the notes say | today | why |
# | --- | --- | --- |
# | `tokenizer.encode_plus(text)` | `tokenizer(text)` | one call for one text, a pair or a batch |
# | `tokenizer.batch_encode_plus(texts)` | `tokenizer(texts)` | the same call; the old methods are gone |
# | `BertTokenizer` slow, `BertTokenizerFast` fast, `use_fast=False` | `BertTokenizer`, always fast; `BertTokenizerLegacy` is the old Python | one implementation per model |
# | `BertTokenizer(…, never_split=[word])` | `tokenizer.add_tokens([word])` | the fast tokenizer ignores `never_split` |
# | `return_tensors="tf"` | `return_tensors="pt"` or `"np"` | TensorFlow support ended with version 5 |
# | `BertTokenizerFast(vocab_file=…)` | `BertTokenizer(vocab=…)` or `from_pretrained(folder)` | the old argument is ignored, and leaves a vocabulary of five tokens |
# | saves `vocab.txt`, `special_tokens_map.json`, `added_tokens.json` | saves `tokenizer.json`, `tokenizer_config.json` | the whole pipeline is in one file |

# %%
assert tokenizer("hello world!")["input_ids"] == [101, 7592, 2088, 999, 102]
assert len(tokenizer(["hello world!", "hi"])["input_ids"]) == 2
vocab_file = str(Path(files.name, "bert", "vocab.txt"))
assert BertTokenizer(vocab=vocabulary).is_fast and not BertTokenizerLegacy(vocab_file).is_fast
assert with_word.add_tokens(["New-Orleans"]) == 1
for kind in ("pt", "np"):
    assert tokenizer("hi", return_tensors=kind)["input_ids"].shape == (1, 3)
assert len(BertTokenizer.from_pretrained(Path(vocab_file).parent)) == 30522
assert len(BertTokenizer(vocab=vocabulary)) == 30522
written = {Path(name).name for name in tokenizer.save_pretrained(Path(files.name, "last"))}
assert written == {"tokenizer.json", "tokenizer_config.json"}
len(BertTokenizerFast(vocab_file=vocab_file))

# %% [markdown]
# The last line is the old call of the sixth row: five tokens, and no error.

# %% [markdown]
# ## Quiz

# %%
lab.quiz("04")

# %% [markdown]
# ## Recap
# - Words lose what is new, characters make long sequences, subwords do neither; BPE merges frequent pairs, WordPiece
#   takes the longest match, Unigram the most probable segmentation.
# - BPE is an ordered list of merges and WordPiece a greedy search: a few lines each, and equal to the library's.
# - A tokenizer goes from string to tokens to ids and back; its arguments pad, cut, window, and tell you which
#   characters a token covers.
# - BERT puts one `[CLS]` first and a `[SEP]` after each of at most two segments; the other models have marks and
#   layouts of their own.
# - `tokenizer.json` holds the whole line of stations; WordPiece has `[UNK]`, bytes never do; what counts is the text it
#   was trained on.
# - A new token needs a new row in the model, and a good start for that row.
#
# Next: chapter 05, Models and configs, looks at what receives these ids.

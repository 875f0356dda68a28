# %% [markdown]
# # 12 Text generation
#
# You take a working chat apart, from template to text, and write each of its parts yourself.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | follow a chat through template, ids, logits, strategy and text | 2½ hours | chapters 01 and 04 |
# | bend the distribution of the next token with every common knob, and see what each does | | |
# | write greedy, sampling and beam search by hand, equal to the library's, and three strategies that it gave away | | |
# | explain what the cache of keys and values saves, and what it costs | | |
# | use a generation config, scores, streams, stopping rules and rules of your own | | |
# | measure which strategy suits which task | | |

# %%
import labs_utils as lab
lab.start("12")

# %% [markdown]
# ## 12.1 A chat in twelve lines
# Here is a whole chat program: it loads a language model, asks two questions, and keeps the history. The model is
# SmolLM2-135M-Instruct: small enough for a laptop's processor, so don't expect much knowledge. Before you run it: which
# of the twelve lines is the one where text is made?

# %%
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

llm, device = lab.checkpoint("llm"), lab.device()
tokenizer = AutoTokenizer.from_pretrained(llm, revision=llm.revision, padding_side="left", truncation_side="left")
model = AutoModelForCausalLM.from_pretrained(llm, revision=llm.revision, dtype=torch.float32).to(device).eval()
messages = []
for question in ("Who are you?", "What is the capital of Italy?"):
    messages.append({"role": "user", "content": question})
    chat = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    written = model.generate(**chat.to(device), max_new_tokens=12, do_sample=False)[0, chat["input_ids"].shape[1] :]
    messages.append({"role": "assistant", "content": tokenizer.decode(written, skip_special_tokens=True)})
    print(f"{question}\n→ {messages[-1]['content']}")

# %% [markdown]
# In the one with `generate`; all others get its input ready or read what came out. The history is a list of messages,
# and the program only grows it. (An answer may be cut: 12 tokens are the limit.) Now the five stations, one after the
# other. **Template**: what the model reads is one string. **Ids**: the tokenizer of chapter 04 cuts it. Before you run
# this: who wrote the first message of the string?

# %%
question = [{"role": "user", "content": "What is the capital of Italy?"}]
print(tokenizer.apply_chat_template(question, add_generation_prompt=True, tokenize=False))
asked_for = {"add_generation_prompt": True, "return_dict": True, "return_tensors": "pt"}
chat = tokenizer.apply_chat_template(question, **asked_for).to(device)
chat["input_ids"].shape

# %% [markdown]
# The template did: this model's template puts a system message in front when you give none. `<|im_start|>` and
# `<|im_end|>` are special tokens; the layout is called ChatML. The string ends in the middle of a message: after
# `assistant` and a line break the model has to go on. That open end is the **generation prompt**.
#
# **Logits**, **strategy**, **text**: the model gives a score to every token of its vocabulary, a strategy picks one,
# and the tokenizer turns it into text.

# %%
with torch.inference_mode():
    logits = model(**chat).logits  # [1, tokens, vocabulary]
picked = logits[0, -1].argmax()  # the strategy: take the best
logits.shape, picked.item(), tokenizer.decode(picked)

# %%
lab.probabilities(logits[0, -1], tokenizer, count=6)

# %% [markdown]
# The bars are the six likeliest first tokens of an answer (`Ġ` is a space, chapter 04). `generate` repeats this until
# the model writes `<|im_end|>`, or until a limit comes. Most of this chapter is about the strategy.
#
# ### Exercise 12.1
# Write `chatml(messages, add_generation_prompt)`: the string in ChatML. `messages` is a list of dicts with `role` and
# `content`. Each message becomes `<|im_start|>`, its role, a line break, its content, `<|im_end|>`, a line break. With
# `add_generation_prompt=True` an open assistant message follows, as above. Add no system message of your own. For
# example, `chatml([{"role": "user", "content": "Hi"}], False)` gives `"<|im_start|>user\nHi<|im_end|>\n"`.

# %% tags=["exercise"]
def chatml(messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    """The messages as one string in ChatML, with an open assistant message at the end if asked for."""
    # BEGIN SOLUTION
    text = ""
    for message in messages:
        text += f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n"
    if add_generation_prompt:
        text += "<|im_start|>assistant\n"
    return text
    # END SOLUTION

# %% tags=["check"]
lab.check("12.1", chatml)

# %% [markdown]
# `lab.hint("12.1")` helps.

# %% [markdown]
# ## 12.2 Without its template
# A **base** model has only read: it continues texts. Continued training on more of the same would keep it like that.
# **Instruction tuning** trains it further on pairs of question and answer in a template, and makes an **instruct**
# model. We have only the instruct model here. But you can take its template away. Before you run this: what will become
# of the same few words?

# %%
def write(texts: list[str], new: int = 20, **options) -> list[str]:
    """What the model appends to each text."""
    batch = tokenizer(texts, padding=True, return_tensors="pt").to(device)  # padded on the left
    ids = model.generate(**batch, max_new_tokens=new, **options)
    return tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)

def as_chat(text: str) -> str:
    one = [{"role": "user", "content": text}]
    return tokenizer.apply_chat_template(one, add_generation_prompt=True, tokenize=False)

# %%
import pandas as pd

pd.set_option("display.max_colwidth", 240)
texts = ["Once upon a time, a", "The three best pets are"]
answers = write([*texts, *(as_chat(text) for text in texts)], new=10, do_sample=False)
pd.DataFrame({"plain, it goes on": answers[:2], "in its template, it answers": answers[2:]}, index=texts)

# %% [markdown]
# The weights are the same, the template decides. In plain text the model goes on in the middle of the sentence, as a
# base model would. In the template it begins a reply of its own. This is not a real base model: its weights have been
# tuned, and its plain texts need not be what the base model would write.
#
# What if a tokenizer has no template? The course's translator was never made for a chat:

# %%
role = lab.checkpoint("translator")
translator_tokenizer = AutoTokenizer.from_pretrained(role, revision=role.revision)
with lab.expect_error(ValueError):
    translator_tokenizer.apply_chat_template(question)
translator_tokenizer.apply_chat_template(question, chat_template=tokenizer.chat_template, tokenize=False)

# %% [markdown]
# The way on: pass a template (`chat_template=…`), or set the tokenizer's `chat_template`. The string comes out, but a
# model that was never trained on these marks makes nothing of them. Look into the model's card before you chat.
#
# **What many tutorials show.** A snippet goes round that loads `AutoModel.from_pretrained("bert-base-cased")`, gives it
# the ids `[[1, 68846, 68881, …]]`, calls `generate`, and decodes `output[0]`. It has four faults. Before you run this:
# which can you name?

# %%
from transformers import AutoModel, LlamaForCausalLM, LlamaModel

encoder = lab.checkpoint("encoder")
bert = AutoModel.from_pretrained(encoder, revision=encoder.revision)
alien = torch.tensor([[1, 68846, 68881, 67701]])
with lab.expect_error(AttributeError):
    bert.generate(alien)
with lab.expect_error(IndexError):
    bert(alien)
bert.config.is_decoder, bert.config.vocab_size, hasattr(LlamaModel, "generate"), hasattr(LlamaForCausalLM, "generate")

# %% [markdown]
# One: `AutoModel` gives the network without a head, and nothing without a head can choose a token. That holds for our
# language model too: `AutoModel` would make a `LlamaModel` of it, and only `LlamaForCausalLM` can generate. Two: BERT
# is an encoder, no decoder. Three: the ids come from some other model's tokenizer, and lie outside BERT's vocabulary.
# The fourth shows only with a model that works:

# %%
opening = "The sea was calm that morning, and"
prompt = tokenizer(opening, return_tensors="pt").to(device)
start = prompt["input_ids"].shape[1]
output = model.generate(**prompt, do_sample=False, max_new_tokens=12)
print(tokenizer.decode(output[0]))
print(tokenizer.decode(output[0, start:]))

# %% [markdown]
# A decoder returns your prompt and what it wrote, in one piece. Slice at the prompt's length to get the new part.

# %% [markdown]
# ## 12.3 The next token, before and after
# <!-- T191 T197 -->
# What do temperature, `top_k` and their relatives do? They all change one thing: the distribution that the next token
# is taken from. Before you run this: which token can follow *The sea was calm that morning, and*?

# %%
with torch.inference_mode():
    scores = model(**prompt).logits[0, -1]  # [vocabulary]
lab.probabilities(scores, tokenizer, temperature=0.5)

# %%
lab.probabilities(scores, tokenizer, temperature=1.5)

# %% [markdown]
# **Temperature** divides the logits before the softmax. Hollow bars are before, blue ones after. Below 1 the likeliest
# token gains, and here it alone. Above 1 it loses, and what it loses goes to unlikely ones, of which there are tens of
# thousands. That is why one cuts the tail off:

# %%
lab.probabilities(scores, tokenizer, top_k=5)

# %%
lab.probabilities(scores, tokenizer, top_p=0.8)

# %% [markdown]
# `top_k` keeps a fixed number of tokens. `top_p` (nucleus sampling) keeps the likeliest tokens until they make up a
# share: few where the model is sure, many where it isn't. `min_p` keeps what reaches a share of the best token's
# probability:

# %%
import matplotlib.pyplot as plt

def bars(axes, labels, before, after):
    places = range(len(labels))
    axes.barh(places, before, color="none", edgecolor="#888888", label="before")
    axes.barh(places, after, height=0.5, color="#0072B2", label="after")
    axes.set_yticks(places, [label.replace("$", r"\$") for label in labels])
    axes.invert_yaxis()
    axes.legend(loc="lower right")

# %%
from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

best = scores.topk(8).indices
cut = MinPLogitsWarper(0.03)(None, scores[None].clone())[0]  # what is cut becomes minus infinity
figure, axes = plt.subplots(figsize=(7, 3))
before, after = scores.softmax(dim=-1)[best].cpu(), cut.softmax(dim=-1)[best].cpu()
bars(axes, tokenizer.convert_ids_to_tokens(best), before, after)
axes.set(xlabel="probability", title=f"min_p=0.03: {int(cut.isfinite().sum())} tokens reach 3 % of the best one");

# %% [markdown]
# Hollow is before, blue is after, as above. Before you run this: one prompt where the model is sure, one where it is
# not. Which rule adapts?

# %%
rules = {"top_k=50": TopKLogitsWarper(50), "top_p=0.9": TopPLogitsWarper(0.9), "min_p=0.1": MinPLogitsWarper(0.1)}
kept = {}
for text in ("The capital of France is", "She opened the box and saw a"):
    with torch.inference_mode():
        here = model(**tokenizer(text, return_tensors="pt").to(device)).logits[:, -1]  # [1, vocabulary]
    survivors = {rule: int(warp(None, here.clone()).isfinite().sum()) for rule, warp in rules.items()}
    kept[text] = {**survivors, "share of the best token, %": 100 * here.softmax(dim=-1).max().item()}
pd.DataFrame(kept).T.round(0)

# %% [markdown]
# `top_k` keeps 50 tokens in both places. The other two keep fewer where the model is sure, and more where it isn't.
#
# Now all knobs at once, in your hands. Move a slider, and see what is cut; click a token, and it is appended to the
# text. Can you lead the story to a happy end, with unlikely tokens only?

# %%
lab.next_token(model, tokenizer, "She opened the box and saw a", temperature=1.2, min_p=0.05)

# %% [markdown]
# (A page without a kernel shows the state in which the notebook was saved.)
#
# ### Exercise 12.2
# Write `nucleus(probabilities, top_p)`. `probabilities` is a tensor `[vocabulary]` that sums to 1. Return the list of
# ids that `top_p` keeps, the likeliest first: the smallest number of likeliest tokens whose probabilities reach `top_p`
# in sum (the token that reaches it is kept). For example, `[0.5, 0.1, 0.3, 0.1]` with `top_p=0.7` gives `[0, 2]`, and
# with `top_p=0.45` it gives `[0]`.

# %% tags=["exercise"]
def nucleus(probabilities: torch.Tensor, top_p: float) -> list[int]:
    """Ids of the likeliest tokens that together reach `top_p`, the likeliest first."""
    # BEGIN SOLUTION
    ordered, ids = probabilities.sort(descending=True)
    before = ordered.cumsum(dim=0) - ordered  # what the likelier ones have already reached
    return ids[before < top_p].tolist()
    # END SOLUTION

# %% tags=["check"]
lab.check("12.2", nucleus)

# %% [markdown]
# `lab.hint("12.2")` helps.
#
# The knobs so far look at one position. The next ones look **back**. `repetition_penalty` lowers the score of every
# token that already stands in the text, the prompt included: a positive logit is divided by the penalty, a negative one
# is multiplied. Before you run this: which tokens of *round and round and round and* will lose?

# %%
from transformers import RepetitionPenaltyLogitsProcessor

wheels = tokenizer("The wheels go round and round and", return_tensors="pt").to(device)
with torch.inference_mode():
    plain = model(**wheels).logits[:, -1]  # [1, vocabulary]
punished = RepetitionPenaltyLogitsProcessor(1.3)(wheels["input_ids"], plain.clone())
best = plain[0].topk(8).indices
before, after = plain.softmax(dim=-1)[0, best].cpu(), punished.softmax(dim=-1)[0, best].cpu()
losers = (punished.softmax(dim=-1) < plain.softmax(dim=-1))[0].nonzero()[:, 0]
assert set(losers.tolist()) == set(wheels["input_ids"][0].tolist())

# %%
figure, axes = plt.subplots(figsize=(7, 3))
bars(axes, tokenizer.convert_ids_to_tokens(best), before, after)
name = tokenizer.decode(best[0]).strip()
axes.set(xlabel="probability", title=f"repetition_penalty=1.3: “{name}” falls from {before[0]:.1%} to {after[0]:.1%}");

# %% [markdown]
# Hollow is before, blue is after: the words of the prompt lose, all others gain. `no_repeat_ngram_size=3` is harder: no
# three neighbouring tokens may occur twice. `min_new_tokens` and `max_new_tokens` forbid and force the end, as in
# chapter 02. Before you run this: greedy decoding went round in chapter 01. Will it here?

# %%
knobs = {
    "greedy": {},
    "repetition_penalty=1.3": {"repetition_penalty": 1.3},
    "no_repeat_ngram_size=3": {"no_repeat_ngram_size": 3},
}
looping = "She said that he said that she said that"
rows = {name: write([looping], new=12, do_sample=False, **knob)[0] for name, knob in knobs.items()}
pd.DataFrame({f"{looping} …": rows})

# %% [markdown]
# Greedy runs in a circle; the two knobs get out, each in its way. Neither knows *why* something should not be repeated:
# they would also punish a name that has to come back.

# %% [markdown]
# ## 12.4 Greedy and sampling by hand
# <!-- T192 -->
# Chapter 01 wrote the greedy loop, and read the whole text again for every token. This one hands over only the new
# token, and a **cache** (section 12.9) for the past. Before you run this: will the tokens equal `generate`'s?

# %%
@torch.inference_mode()
def decode(ids, new, choose):
    """Append `new` tokens to `ids` [rows, tokens]; `choose` takes one from the logits [rows, vocabulary]."""
    given, cache = ids, None
    for _ in range(new):
        out = model(given, past_key_values=cache)
        given, cache = choose(out.logits[:, -1]), out.past_key_values  # [rows, 1]
        ids = torch.cat([ids, given], dim=1)
    return ids

def best_token(logits):
    return logits.argmax(dim=-1, keepdim=True)

assert torch.equal(decode(prompt["input_ids"], 12, best_token), output)  # `output` is generate's, from section 12.2

# %% [markdown]
# **Sampling** (also *multinomial sampling*) is the same loop with a die instead of the maximum. Two such loops can be
# compared if both begin with the same seed. Before you run this: will three rows from one prompt be three different
# texts?

# %%
def sampled_token(logits, temperature=0.8):
    return torch.multinomial((logits / temperature).softmax(dim=-1), num_samples=1)

torch.manual_seed(0)
mine = decode(prompt["input_ids"].repeat(3, 1), 6, sampled_token)
torch.manual_seed(0)
options = {"do_sample": True, "temperature": 0.8, "top_k": 0}
library = model.generate(**prompt, **options, num_return_sequences=3, max_new_tokens=6)
assert torch.equal(mine, library)
tokenizer.batch_decode(library[:, start:])

# %% [markdown]
# Token for token the same. Note `top_k=0`: without it the library cuts to the 50 best tokens, silently, because that is
# its default (section 12.10).

# %% [markdown]
# ## 12.5 Beams: see which ones die
# <!-- T192 T197 -->
# Chapter 02 used beams. Now you write them. A **beam** is a text with its summed log-probability. At each step every
# beam grows by every token, and the best few of all these survive. Before you run this: will the first token of the
# winner be the likeliest first token?

# %% tags=["long"] why="beam search is the lesson"
@torch.inference_mode()
def beam_search(ids, width, new):
    """Texts [width, tokens] and log-probabilities, the best first; and for each step (totals, parents, tokens)."""
    out = model(ids)
    totals, tokens = out.logits[0, -1].log_softmax(dim=-1).topk(width)  # the first step has only one parent
    texts, cache = torch.cat([ids.repeat(width, 1), tokens[:, None]], dim=1), out.past_key_values
    cache.batch_repeat_interleave(width)
    steps = [(totals.tolist(), [0] * width, tokens.tolist())]
    for _ in range(new - 1):
        out = model(texts[:, -1:], past_key_values=cache)
        grown = totals[:, None] + out.logits[:, -1].log_softmax(dim=-1)  # [width, vocabulary]
        totals, places = grown.flatten().topk(width)
        parents, tokens = places // grown.shape[1], places % grown.shape[1]
        texts = torch.cat([texts[parents], tokens[:, None]], dim=1)
        cache.batch_select_indices(parents)  # each survivor takes its parent's keys and values along
        steps.append((totals.tolist(), parents.tolist(), tokens.tolist()))
    return texts, totals, steps

# %%
texts, totals, steps = beam_search(prompt["input_ids"], width=4, new=10)
beams = model.generate(**prompt, do_sample=False, num_beams=4, max_new_tokens=10, num_return_sequences=4)
assert torch.equal(texts, beams)
pd.DataFrame({"text": tokenizer.batch_decode(texts[:, start:]), "log-probability": totals.cpu()}).round(2)

# %% [markdown]
# All four equal the library's. (No text came to its end here. When one does, the library puts it aside, and compares
# with its log-probability divided by its length: exercise 2.6.) Three of them hardly differ: beams crowd together. Here
# is the search as a tree. Before you run this: at which step will you see the winner fall behind?

# %%
tree = lab.beam_tree(model, tokenizer, opening, num_beams=4, steps=10)
assert tree.ids == beams[0].tolist()
tree

# %% [markdown]
# Each column is a step, each card a beam, the best on top; under its token stands its summed log-probability. Blue is
# the winner. A card with ✗ has no survivor: behind the arrow stands what its best continuation had, and over the next
# column what was needed. Now move the slider back, step by step: blue is then whoever leads at that step. (A page
# without a kernel shows the last one.) The numbers are data, too:

# %%
winner = pd.DataFrame([row for row in tree.data if row["winner"]]).set_index("step").round(2)
winner[["text", "rank", "log_probability"]].T

# %% [markdown]
# The row *rank* tells it: the winner begins with the likeliest first token, falls behind, and comes back. Greedy
# decoding is a search with one beam. It never sees what became of the others. Here is what that costs:

# %%
@torch.inference_mode()
def log_probability(ids, first):
    """Summed log-probability of the tokens from place `first` on, for each row of `ids` [rows, tokens]."""
    logits = model(ids).logits[:, first - 1 : -1].log_softmax(dim=-1)  # what stands before a token predicts it
    return logits.gather(-1, ids[:, first:, None]).sum(dim=(1, 2))

likely = log_probability(torch.cat([output[:, : start + 10], beams[:1]]), start)
print(f"greedy {likely[0]:.2f}, beam search {likely[1]:.2f}")

# %% [markdown]
# So *deterministic* is not *likeliest*. Both ways give the same text each time, and at most one of them can be the most
# likely text. Is it the second?
#
# ### Exercise 12.3
# Write `beam_step(totals, scores, width)`, one step of the search. `totals` is a list with the log-probability of each
# beam, `scores` a tensor `[beams, vocabulary]` with the log-probabilities of the next token for each beam. Return the
# `width` best of all children as a list of tuples `(total, parent, token)`, the best first: the new sum, the beam's
# index, the token's id. For example, with totals `[-1.0, -2.0]` and scores `[[-3.0, -0.5], [-0.1, -4.0]]` the best two
# are `[(-1.5, 0, 1), (-2.1, 1, 0)]`.

# %% tags=["exercise"]
def beam_step(totals: list[float], scores: torch.Tensor, width: int) -> list[tuple[float, int, int]]:
    """The best `width` children of all beams as (total, parent, token), the best first."""
    # BEGIN SOLUTION
    children = []
    for parent, total in enumerate(totals):
        for token, score in enumerate(scores[parent].tolist()):
            children.append((total + score, parent, token))
    return sorted(children, reverse=True)[:width]
    # END SOLUTION

# %% tags=["check"]
lab.check("12.3", beam_step)

# %% [markdown]
# `lab.hint("12.3")` helps.

# %% [markdown]
# ## 12.6 Try them all
# <!-- T192 -->
# The likeliest text can be found for sure in one way: score **every** text. With 49,152 tokens there are 2.4 billion
# texts of two tokens: hopeless. With six tokens and four steps there are 1,296. Tiny random models of six tokens will
# do: we want to know how good a search is, not what it writes. Before you run this: how often will greedy find the best
# of 1,296?

# %%
from transformers import LlamaConfig

def tiny(seed: int, tokens: int = 6):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    none = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
    return LlamaForCausalLM(LlamaConfig(vocab_size=tokens, initializer_range=0.3, **sizes, **none)).eval()

six = torch.arange(6)
starts = torch.cartesian_prod(six, six)[::2]  # [18, 2]: prompts of two tokens
every = torch.cartesian_prod(six, six, six, six)  # [1296, 4]: all texts of four tokens
starts.shape, every.shape

# %%
@torch.inference_mode()
def score(small, ids):
    found = small(ids).logits[:, 1:-1].log_softmax(dim=-1)
    return found.gather(-1, ids[:, 2:, None]).sum(dim=(1, 2))  # [rows]

widths, hits = [1, 2, 3, 4, 6, 12], {}
for seed in range(4):
    small = tiny(seed)
    optimum = torch.stack([score(small, torch.cat([two.expand(1296, 2), every], dim=1)).max() for two in starts])
    for width in widths:
        options = {"num_beams": width, "do_sample": False, "max_new_tokens": 4, "pad_token_id": 0}
        found = small.generate(starts, attention_mask=torch.ones_like(starts), **options)
        hits.setdefault(width, []).append((score(small, found) > optimum - 1e-4).float().mean().item())

# %%
shares = [100 * sum(found) / len(found) for found in hits.values()]
figure, axes = plt.subplots(figsize=(6, 3))
axes.plot(widths, shares, "o-")
axes.set(xlabel="num_beams (1 = greedy)", ylabel="found the best text, %", ylim=(0, 105))
axes.set_title(f"The best of 1,296 texts: greedy finds it in {shares[0]:.0f} %, two beams in {shares[1]:.0f} %");

# %% [markdown]
# Each point is the share of 72 searches (four models, 18 prompts each) that found the true optimum. Greedy misses it
# often, two beams miss it now and then, and more beams less and less. Every one of these searches is deterministic.
#
# **What many tutorials say**: "for precise tasks use a deterministic method, to be guaranteed the most likely answer."
# There is no such guarantee: you have counted the misses. And the likeliest answer need not be the right one (section
# 12.15).

# %% [markdown]
# ## 12.7 Seven strategies, one table
# <!-- T190 -->
# Many tutorials list seven strategies with the arguments that trigger them. A `GenerationConfig` says which strategy it
# asks for. Before you run this: what wins when a config asks for two at once, `penalty_alpha` and `do_sample=True`?

# %%
from transformers import GenerationConfig

triggers = {
    "greedy": {},
    "contrastive": {"penalty_alpha": 0.6, "top_k": 4},
    "multinomial": {"do_sample": True},
    "beam": {"num_beams": 4},
    "beam, sampled": {"num_beams": 4, "do_sample": True},
    "diverse beam": {"num_beams": 4, "num_beam_groups": 4, "diversity_penalty": 1.0},
    "constrained beam": {"num_beams": 4, "force_words_ids": [tokenizer(" whale")["input_ids"]]},
    "two at once": {"penalty_alpha": 0.6, "top_k": 4, "do_sample": True},
}
{name: GenerationConfig(**given).get_generation_mode().value for name, given in triggers.items()}

# %% [markdown]
# All seven names are still known. `do_sample=True` wins over `penalty_alpha`: contrastive search needs it off. (The
# warning is telling: it says that `top_k` is only for sampling. The library has forgotten contrastive search.) Before
# you run this: which of the seven does `generate` still do?

# %%
small = tiny(0)
today = {}
for name, given in triggers.items():
    given = {**given, "force_words_ids": [[3]]} if "force_words_ids" in given else given  # a word of its vocabulary
    try:
        small.generate(starts[:1], attention_mask=torch.ones(1, 2), max_new_tokens=3, pad_token_id=0, **given)
        today[name] = "generate"
    except ValueError as error:
        today[name] = str(error).split(",")[0]
today

# %% [markdown]
# Four run. Three have moved out of the library, into repositories on the Hub that hold their code, and that code runs
# only if you say `trust_remote_code=True`. You will not need them: write the three yourself.

# %% [markdown]
# ## 12.8 Three strategies of your own
# <!-- T190 -->
# A folder with a file `custom_generate/generate.py` in it is all that `generate(custom_generate=folder)` asks for.
# First the strategies, then the folder.
#
# **Contrastive search** looks for a token that is likely and still unlike the past: from the `top_k` likeliest tokens,
# it takes the one with the highest `(1 − α) · probability − α · similarity`. The similarity is the largest cosine
# between the candidate's last hidden state and those of the text so far.

# %% tags=["long"] why="a whole decoding strategy"
def contrastive(model, ids, max_new_tokens, penalty_alpha, top_k):
    """Likely, but unlike what stands there already (Su et al., 2022). `ids` is [1, tokens]."""
    out = model(ids, output_hidden_states=True)
    past, logits, cache = out.hidden_states[-1][0], out.logits[0, -1], out.past_key_values  # past: [tokens, width]
    cache.batch_repeat_interleave(top_k)
    for _ in range(max_new_tokens):
        chances, candidates = logits.softmax(dim=-1).topk(top_k)
        out = model(candidates[:, None], past_key_values=cache, output_hidden_states=True)  # try each of them
        states = out.hidden_states[-1][:, 0]  # [top_k, width]
        alike = torch.cosine_similarity(states[:, None], past[None], dim=-1).amax(dim=1)  # [top_k]
        best = ((1 - penalty_alpha) * chances - penalty_alpha * alike).argmax()
        ids = torch.cat([ids, candidates[best].view(1, 1)], dim=1)
        past, logits = torch.cat([past, states[best][None]]), out.logits[best, -1]
        cache.batch_select_indices(best.repeat(top_k))  # all rows go on from the winner
        if candidates[best] == model.generation_config.eos_token_id:
            break
    return ids

# %% [markdown]
# **Diverse beam search** cures the crowding that you saw: the beams are split into groups, and at each step a later
# group pays a penalty for every token that an earlier group has just taken.

# %% tags=["long"] why="a whole decoding strategy"
def diverse(model, ids, max_new_tokens, num_beams, num_beam_groups, diversity_penalty):
    """The best text of each group; groups avoid each other's tokens (Vijayakumar et al., 2018)."""
    size, eos = num_beams // num_beam_groups, model.generation_config.eos_token_id
    out = model(ids)
    logits, cache = out.logits[:, -1].repeat(num_beams, 1), out.past_key_values
    cache.batch_repeat_interleave(num_beams)
    texts = ids.repeat(num_beams, 1)
    totals = torch.full((num_beam_groups, size), -1e9, device=ids.device)
    totals[:, 0] = 0.0  # at first the beams of a group are the same: only one of them may grow
    for step in range(max_new_tokens):
        scores = logits.log_softmax(dim=-1)  # [num_beams, vocabulary]
        if step and eos is not None:  # a text that has ended can only go on with eos, for nothing
            ended = texts[:, -1] == eos
            scores[ended], scores[ended, eos] = -1e9, 0.0
        taken, rows, tokens = torch.zeros_like(scores[0]), [], []
        for group in range(num_beam_groups):
            first = group * size
            grown = (totals[group][:, None] + scores[first : first + size]).flatten()
            chosen = (grown - diversity_penalty * taken.repeat(size)).topk(size).indices
            totals[group] = grown[chosen]
            rows.append(first + chosen // len(taken))
            tokens.append(chosen % len(taken))
            taken += torch.bincount(tokens[-1], minlength=len(taken))
        rows, tokens = torch.cat(rows), torch.cat(tokens)[:, None]
        texts = torch.cat([texts[rows], tokens], dim=1)
        cache.batch_select_indices(rows)
        logits = model(tokens, past_key_values=cache).logits[:, -1]
    return texts[totals.argmax(dim=1) + size * torch.arange(num_beam_groups, device=ids.device)]

# %% [markdown]
# **Constrained beam search** must write a given phrase somewhere. The beams live in banks: bank 0 has nothing of the
# phrase, bank 1 its first token, and so on. A beam may step into the next bank at any time, and the answer is the best
# of the last bank.

# %% tags=["long"] why="a whole decoding strategy"
def constrained(model, ids, max_new_tokens, num_beams, force_words_ids):
    """The best text found that holds the phrase: beams in banks (Hokamp and Liu, 2017). `ids` is [1, tokens]."""
    phrase, eos = force_words_ids[0], model.generation_config.eos_token_id
    beams, given, cache = [(0.0, [], 0, 0)], ids, None  # (log-probability, new tokens, bank, row of the batch)
    for _ in range(max_new_tokens):
        out = model(given, past_key_values=cache)
        scores, cache, grown = out.logits[:, -1].log_softmax(dim=-1), out.past_key_values, []
        for row, (total, text, bank, _) in enumerate(beams):
            if text and text[-1] == eos:  # ended: it stays as it is
                grown.append((total, [*text, eos], bank, row))
                continue
            free = scores[row].topk(num_beams).indices.tolist() if bank in (0, len(phrase)) else []
            moves = [(token, bank) for token in free if bank or token != eos]  # no end before the phrase
            moves += [(token, bank + 1) for token in phrase[bank : bank + 1]]
            grown += [(total + scores[row, token].item(), [*text, token], now, row) for token, now in moves]
        banks = [[one for one in grown if one[2] == bank] for bank in range(len(phrase) + 1)]
        beams = [one for bank in banks for one in sorted(bank, reverse=True)[:num_beams]]
        cache.batch_select_indices(torch.tensor([row for *_, row in beams], device=ids.device))
        given = torch.tensor([text[-1:] for _, text, *_ in beams], device=ids.device)
    _, text, bank, _ = max(beams, key=lambda beam: (beam[2], beam[0]))
    return torch.cat([ids, torch.tensor([text], device=ids.device)], dim=1)

# %% [markdown]
# The folder needs one more function, `generate`, which receives everything that you give to `model.generate`. Ours
# picks the strategy by the old triggers. The cell writes the four functions into the file.

# %%
import inspect
import tempfile
from pathlib import Path

def generate(model, inputs=None, input_ids=None, **options):
    """What `model.generate(…, custom_generate=folder)` calls: the strategy that the options ask for."""
    ways = {"penalty_alpha": contrastive, "num_beam_groups": diverse, "force_words_ids": constrained}
    way = next(way for trigger, way in ways.items() if options.get(trigger) is not None)
    wanted = list(inspect.signature(way).parameters)[2:]
    return way(model, input_ids if inputs is None else inputs, **{name: options[name] for name in wanted})

# %%
files = tempfile.TemporaryDirectory()
ours = Path(files.name, "ours", "custom_generate", "generate.py")
ours.parent.mkdir(parents=True, exist_ok=True)
source = [inspect.getsource(one) for one in (contrastive, diverse, constrained, generate)]
ours.write_text("import inspect\n\nimport torch\n\n\n" + "\n\n".join(source), encoding="utf-8")
folder = str(ours.parents[1])
with lab.expect_error(ValueError):
    model.generate(**prompt, custom_generate=folder, trust_remote_code=False, penalty_alpha=0.6)

# %% [markdown]
# Even a folder of your own runs only with `trust_remote_code=True`: it is code that a call to `generate` executes. Say
# it only for code that you have read. Before you run the next cell: what must contrastive search give when
# `penalty_alpha` is nearly 0, and diverse beam search when the penalty is 0?

# %%
trusted = {"custom_generate": folder, "trust_remote_code": True}
hardly = model.generate(**prompt, **trusted, penalty_alpha=1e-9, top_k=2, max_new_tokens=4)
assert torch.equal(hardly, output[:, : start + 4])  # greedy's tokens
free = model.generate(**prompt, **trusted, num_beams=4, num_beam_groups=2, diversity_penalty=0.0, max_new_tokens=4)
assert torch.equal(free[0], free[1])  # two groups that don't pay write the same
two = model.generate(**prompt, do_sample=False, num_beams=2, max_new_tokens=4)
assert torch.equal(free[0], two[0])  # and it is what two beams write

# %% [markdown]
# Greedy, and plain beam search twice: without a `diversity_penalty` groups are useless (some tutorials leave it out).
# Now all seven on the same prompt, for ten tokens. Greedy and beam are there already. Before you run this: whose text
# will be the likeliest, and whose the least?

# %%
torch.manual_seed(1)
results = {"greedy": output, "beam": beams[:1]}
for name in ("contrastive", "diverse beam", "constrained beam"):
    results[name] = model.generate(**prompt, **trusted, **triggers[name], max_new_tokens=10)
for name in ("multinomial", "beam, sampled"):
    results[name] = model.generate(**prompt, **triggers[name], top_k=0, max_new_tokens=10)

# %%
old = ["greedy_search", "contrastive_search", "sample", "beam_search", "beam_sample"]
old += ["group_beam_search", "constrained_beam_search"]
seven = list(triggers)[:7]
firsts = torch.cat([results[name][-1:, : start + 10] for name in seven])  # of the groups, the last one
new_tokens = firsts[:, start:].tolist()
table = pd.DataFrame({"trigger": [str(triggers[name])[1:-1] for name in seven], "old method": old}, index=seven)
table["today"] = ["our folder" if "trust_remote_code" in today[name] else "generate" for name in seven]
table["text"] = tokenizer.batch_decode(firsts[:, start:])
table["log-probability"] = log_probability(firsts, start).tolist()
table["different tokens, %"] = [100 * len(set(row)) / len(row) for row in new_tokens]
assert not any(hasattr(model, method) for method in old)
table.round(1)

# %% [markdown]
# The seven methods of the third column are gone from the model; `generate` is the only door. Read the texts, then the
# log-probabilities: beam search is high, as it should be. What is random changes with the seed. The constrained text
# holds *whale*, and pays for it against plain beam search. The last column says how many of a text's tokens are
# different; in a text this short it varies little (section 12.15 measures diversity properly). The diverse groups
# deserve a look of their own:

# %%
tokenizer.batch_decode(results["diverse beam"][:, start:])

# %% [markdown]
# Four beginnings, where three of plain beam search's four texts were variants of one.

# %% [markdown]
# ## 12.9 The cache: what it saves, what it costs
# <!-- T193 -->
# Without a cache the model reads the whole text for each new token. With it, it reads one token, and looks the past up
# in the stored keys and values. Before you run this: how does the time for **one** token grow with the text, with and
# without? (The words don't matter for the time, so random ones will do.)

# %%
import time

@torch.inference_mode()
def seconds(ids, cache=None, repeats=2):
    """The best of a few runs (a busy machine can only make it longer), and the cache after the last one."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        out = model(ids, past_key_values=cache, logits_to_keep=1)  # the scores after the last token are all we need
        out.logits.sum().item()  # on a GPU this waits until it is done
        times.append(time.perf_counter() - begin)
    return min(times), out.past_key_values

# %%
from tqdm.auto import tqdm

lengths, without, cached = [25, 50, 100, 200], [], []
ids = torch.randint(1000, (1, max(lengths)), device=device)
for length in tqdm(lengths, desc="lengths"):
    whole, past = seconds(ids[:, :length])
    without.append(whole)
    cached.append(seconds(ids[:, -1:], past, repeats=3)[0])  # the cache grows by a token at each run: hardly anything

# %%
figure, axes = plt.subplots(figsize=(6.5, 3))
axes.plot(lengths, [1000 * one for one in without], "o-", color="#D55E00", label="without: read everything again")
axes.plot(lengths, [1000 * one for one in cached], "o-", color="#0072B2", label="with: read one token")
axes.set(xlabel="tokens in the text", ylabel="milliseconds per new token", ylim=(0, None))
axes.set_title(f"After {lengths[-1]} tokens the next one comes {without[-1] / cached[-1]:.0f} times as fast with the cache")
axes.legend();

# %% [markdown]
# Without the cache the time of one token grows with the text, so that a whole text costs about its square. With it the
# line stays nearly flat: it only has to look at more keys. The tokens are the same:

# %%
slow = model.generate(**prompt, do_sample=False, max_new_tokens=6, use_cache=False)
assert torch.equal(slow, output[:, : start + 6])

# %% [markdown]
# The price is memory: for each layer, each token and each **key-value head** one key and one value. Our model has nine
# heads for queries but only three for keys and values: three queries share a key (*grouped* heads). Before you run
# this: how many bytes does one token take?

# %%
with torch.inference_mode():
    past = model(**prompt).past_key_values
layer = past.layers[0]
measured = sum(one.keys.nbytes + one.values.nbytes for one in past.layers)
c = model.config
formula = 2 * c.num_hidden_layers * c.num_key_value_heads * c.head_dim * start * 4  # keys and values; 4 bytes a number
assert measured == formula
whole = measured // start * c.max_position_embeddings / 2**20
print(layer.keys.shape, f"{measured // start:,} bytes per token, {whole:.0f} MiB for a full context")
print(f"the model itself: {model.get_memory_footprint() / 2**20:.0f} MiB")

# %% [markdown]
# Without grouping it would be three times as much. Even so, two chats with a full context take more than the model.
#
# ### Exercise 12.4
# Write `cache_bytes(config, tokens, batch, bytes_per_number)`: the size in bytes of the cache for `batch` texts of
# `tokens` tokens each. `config` has the attributes `num_hidden_layers`, `num_attention_heads`, `num_key_value_heads`,
# `hidden_size` and `head_dim`. Return a whole number. For example, 2 layers, 1 key-value head of size 8, one text of 10
# tokens in 4-byte numbers give `1280`.

# %% tags=["exercise"]
def cache_bytes(config, tokens: int, batch: int, bytes_per_number: int) -> int:
    """Bytes that the keys and values of `batch` texts of `tokens` tokens take."""
    # BEGIN SOLUTION
    numbers = config.num_hidden_layers * config.num_key_value_heads * config.head_dim * tokens * batch
    return 2 * numbers * bytes_per_number  # keys and values
    # END SOLUTION

# %% tags=["check"]
lab.check("12.4", cache_bytes)

# %% [markdown]
# `lab.hint("12.4")` helps.
#
# **Why does a chat model look only back?** One reason: a causal mask keeps the cache true. A token's key depends only
# on what stands before it, so it stays right when the text grows. Chapter 01's prefix decoder lets all tokens of the
# prompt see each other. In a chat the next question makes the prompt longer. Before you run this: what happens to the
# old keys?

# %%
@torch.inference_mode()
def all_keys(ids, prefix: bool):
    """Each layer's keys under a prefix mask (all see all) or a causal one; 0 is open, a very low number closed."""
    closed = torch.full((ids.shape[1], ids.shape[1]), torch.finfo(torch.float32).min, device=device)
    mask = torch.zeros_like(closed) if prefix else closed.triu(1)  # [tokens, tokens]
    return [layer.keys for layer in model(ids, attention_mask=mask[None, None]).past_key_values.layers]

ids = prompt["input_ids"]
for name, prefix in {"causal": False, "prefix": True}.items():
    long, short = all_keys(ids, prefix), all_keys(ids[:, :-1], prefix)
    moved = [(now[:, :, :-1] - before).abs().amax(dim=(0, 1, 3)) for now, before in zip(long, short)]  # [tokens] each
    changed = [int((layer > 1e-3).sum()) for layer in (moved[0], moved[1], moved[-1])]
    print(f"{name}: of {len(moved[0])} old keys one more token moves {changed} in the first, second and last layer")

# %% [markdown]
# Under the causal mask nothing moves, but for rounding. Under the prefix mask only the first layer's keys stay, which
# know nothing but their own token: from the second layer on all change, and the cache would have to be made again each
# turn.

# %% [markdown]
# ## 12.10 The generation config
# <!-- T194 -->
# All arguments of `generate` are fields of a `GenerationConfig`. Before you run this: which values has a fresh one?

# %%
fresh = GenerationConfig().to_dict()
print({name: value for name, value in fresh.items() if value is not None and name != "transformers_version"})
print(model.generation_config)

# %% [markdown]
# None at all: every field is `None`, which means "not said". At the call, `generate` fills a field from the first of
# these that says something: what you hand over (arguments, or a config), the model's own config, the library's
# defaults. Our model's own says only which tokens are special. Before you run this: how long are the three texts?

# %%
speaker, given = tiny(0), {"attention_mask": torch.ones(1, 2), "pad_token_id": 0}
speaker.generation_config.max_new_tokens = 3
handed_over = GenerationConfig(max_new_tokens=5, pad_token_id=0)
mask = {"attention_mask": given["attention_mask"]}
runs = [given, {**given, "max_new_tokens": 7}, {**mask, "generation_config": handed_over}]
[speaker.generate(starts[:1], **run).shape[1] - 2 for run in runs]

# %% [markdown]
# Three, seven, five. (Arguments **and** a config in one call still work, with a warning that this will end.) Before you
# run this: and how long is a text if nobody says?

# %%
silent = tiny(0).generate(starts[:1], attention_mask=torch.ones(1, 2), pad_token_id=0)
counted = {"tokens without a limit": silent.shape[1] - 2}
wide = tiny(0, tokens=200)
torch.manual_seed(0)
hot = {"do_sample": True, "temperature": 100.0, "max_new_tokens": 1, "pad_token_id": 0}
drawn = wide.generate(starts[:1].repeat(300, 1), attention_mask=torch.ones(300, 2), **hot)
counted["different tokens in 300 draws"] = len(set(drawn[:, 2].tolist()))
counted

# %% [markdown]
# 20 new tokens (and a warning), and never more than 50 different tokens, even from a nearly uniform distribution: the
# default `top_k=50` cuts in whenever you sample. Say `top_k=0` if you don't want it.
#
# A config is a file, and saving checks it. Before you run this: what is wrong with a temperature?

# %%
with lab.expect_error(ValueError):
    GenerationConfig(temperature=0.7).save_pretrained(files.name)
GenerationConfig(temperature=0.7, do_sample=True, max_new_tokens=12, eos_token_id=2).save_pretrained(files.name)
kept = GenerationConfig.from_pretrained(files.name)
print(Path(files.name, "generation_config.json").read_text("utf-8"))
kept.temperature, kept.top_k

# %% [markdown]
# A temperature without `do_sample=True` does nothing, so it may not be saved. Only what was said is in the file.
#
# **Special tokens.** `eos_token_id` ends a text; it may be one id or several. Before you run this: what if a full stop
# is an end, too?

# %%
dot = tokenizer(".")["input_ids"]
for eos in (tokenizer.eos_token_id, [tokenizer.eos_token_id, *dot]):
    ended = model.generate(**prompt, do_sample=False, max_new_tokens=8, eos_token_id=eos)
    print(eos, repr(tokenizer.decode(ended[0, start:])))

# %% [markdown]
# An encoder–decoder has two more fields. Its decoder begins with `decoder_start_token_id`, and
# `encoder_no_repeat_ngram_size` forbids it to copy n-grams from the **source**. Before you run this: what will a
# translator do if it may not copy a single token, not even the name?

# %%
from transformers import AutoModelForSeq2SeqLM

translator = AutoModelForSeq2SeqLM.from_pretrained(role, revision=role.revision, dtype=torch.float32).to(device).eval()
source = translator_tokenizer("Paris, Paris et Paris.", return_tensors="pt").to(device)
source = {name: source[name] for name in ("input_ids", "attention_mask")}
for size in (0, 1):
    copied = translator.generate(**source, encoder_no_repeat_ngram_size=size, max_new_tokens=12)
    print(size, translator_tokenizer.decode(copied[0]))
the = translator_tokenizer.convert_tokens_to_ids(translator_tokenizer.tokenize("The"))[0]
begun = translator.generate(**source, decoder_start_token_id=the, max_new_tokens=12)
translator.generation_config.decoder_start_token_id, translator_tokenizer.decode(begun[0])

# %% [markdown]
# With 1 it loses the city, the comma and the full stop, which also stand in the source, and then its way. Started with
# *The* instead of its own start token, it goes on from there.
#
# **Typing errors** are caught, because every argument that is neither a field nor an input of the model is refused:

# %%
with lab.expect_error(ValueError):
    model.generate(**prompt, max_new_tokens=2, temprature=0.7)

# %% [markdown]
# ## 12.11 How likely was that?
# <!-- T194 -->
# `generate` can hand over the scores of each step. Before you run this: what does it return when you ask for
# `output_scores=True` and nothing else?

# %%
small = tiny(0)
pair, options = starts[:2], {"attention_mask": torch.ones(2, 2), "pad_token_id": 0, "max_new_tokens": 4}
ignored = small.generate(pair, **options, output_scores=True)
told = small.generate(pair, **options, output_scores=True, return_dict_in_generate=True)
type(ignored).__name__, list(told), len(told.scores), told.scores[0].shape

# %% [markdown]
# Only ids, and a warning: `output_scores` needs `return_dict_in_generate=True`. With it there is one tensor for each
# step, `[texts, vocabulary]`. For greedy decoding and sampling, scores are logits **after** the knobs, not
# log-probabilities: for those, normalize. The library does it with `compute_transition_scores`. Three ways to the same
# number:

# %%
chosen = told.sequences[:, 2:]  # [2, 4]
by_hand = torch.stack(told.scores, dim=1).log_softmax(dim=-1).gather(-1, chosen[:, :, None]).sum(dim=(1, 2))
by_library = small.compute_transition_scores(told.sequences, told.scores, normalize_logits=True).sum(dim=1)
read_again = score(small, told.sequences)  # a new forward pass, section 12.6
assert torch.allclose(by_hand, by_library, atol=1e-5) and torch.allclose(by_hand, read_again, atol=1e-4)
by_hand

# %% [markdown]
# ### Exercise 12.5
# Write `sequence_log_probability(scores, tokens, eos)`. `scores` is a list with one tensor `[texts, vocabulary]` for
# each step, as in `.scores` (not normalized), `tokens` a tensor `[texts, steps]` with the new tokens. What stands after
# the first `eos` of a text is padding and does not count; the `eos` itself does. Return a tensor `[texts]`: the
# log-probability of each text. For example, two steps with scores `[[0.0, 0.0]]` each and tokens `[[0, 0]]` give `[2 ·
# ln ½]` with `eos=1`, and `[ln ½]` with `eos=0`.

# %% tags=["exercise"]
def sequence_log_probability(scores: list[torch.Tensor], tokens: torch.Tensor, eos: int) -> torch.Tensor:
    """Log-probability of each text, up to its first `eos` included."""
    # BEGIN SOLUTION
    steps = torch.stack(list(scores), dim=1).log_softmax(dim=-1)  # [texts, steps, vocabulary]
    each = steps.gather(-1, tokens[:, :, None])[:, :, 0]  # [texts, steps]
    ended = (tokens == eos).cumsum(dim=1) - (tokens == eos).long()  # how many eos stand before
    return (each * (ended == 0)).sum(dim=1)
    # END SOLUTION

# %% tags=["check"]
lab.check("12.5", sequence_log_probability)

# %% [markdown]
# `lab.hint("12.5")` helps.

# %% [markdown]
# ## 12.12 Several answers, and answers that arrive
# <!-- T195 -->
# `num_return_sequences` asks for several texts. Sampling gave three in section 12.4, beams four in section 12.5. Before
# you run this: what should greedy decoding do when you ask for two, and two beams when you ask for three?

# %%
with lab.expect_error(ValueError):
    model.generate(**prompt, do_sample=False, num_return_sequences=2)
with lab.expect_error(ValueError):
    model.generate(**prompt, num_beams=2, num_return_sequences=3)

# %% [markdown]
# There is one greedy text, and no more texts than beams.
#
# **Streaming** shows each word as soon as it is sure, as chats do. `TextStreamer` prints. Run the cell and watch: the
# words come one by one.

# %%
from transformers import TextIteratorStreamer, TextStreamer

printer = TextStreamer(tokenizer, skip_prompt=True)
streamed = model.generate(**prompt, do_sample=False, max_new_tokens=8, streamer=printer)

# %% [markdown]
# `TextIteratorStreamer` hands the pieces to your own code: `generate` works in a thread, and you loop over what
# arrives. Before you run this: will the pieces be single tokens?

# %%
from threading import Thread

streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60)
options = {"do_sample": False, "max_new_tokens": 8, "streamer": streamer}
worker = Thread(target=model.generate, kwargs={**prompt, **options})
worker.start()
pieces = list(streamer)  # a chat would show each one as it comes
worker.join()
assert "".join(pieces) == tokenizer.decode(streamed[0, start:])
pieces

# %% [markdown]
# One piece for each token and one at the end. A piece may be empty: the streamer waits for the space that ends a word,
# because a later token may still change how a half word looks. The `timeout` matters: if `generate` fails in its
# thread, the loop would wait for ever.
#
# A stream shows what can no longer change. Before you run this: which strategies can't be streamed?

# %%
with lab.expect_error(ValueError):
    model.generate(**prompt, num_beams=2, max_new_tokens=4, streamer=TextStreamer(tokenizer))
with lab.expect_error(ValueError):
    twice = tokenizer([opening, opening], return_tensors="pt").to(device)
    model.generate(**twice, max_new_tokens=4, streamer=TextStreamer(tokenizer))

# %% [markdown]
# With beams the lead changes, as you saw in the tree, and what was shown may be wrong at the end; and two texts can't
# be printed into one another. Stream one text with greedy or sampling (`num_beams=1`), or leave the streamer out.
#
# **A prompt that is too long.** Each model has read texts up to some length. Before you run this: a small GPT-2 that
# knows 32 positions gets a longer prompt. What happens, and which end of the prompt would you rather lose?

# %%
from transformers import GPT2Config, GPT2LMHeadModel

context, new = 32, 5
special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
sizes = {"n_positions": context, "n_embd": 16, "n_layer": 1, "n_head": 2}
narrow = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **sizes, **special)).eval()
long = "The key was on the table. " * 8 + "Where was the key?"
with lab.expect_error(IndexError):
    narrow.generate(**tokenizer(long, return_tensors="pt"), max_new_tokens=new)

# %%
fitting = tokenizer(long, truncation=True, max_length=context - new, return_tensors="pt")
longest = narrow.generate(**fitting, max_new_tokens=new, do_sample=False).shape[1]
assert longest <= context
beyond = tiny(0)(torch.zeros(1, 2100, dtype=torch.long)).logits  # a Llama that was made for 2,048 tokens
assert beyond.shape[1] > tiny(0).config.max_position_embeddings
longest, tokenizer.decode(fitting["input_ids"][0]), model.config.max_position_embeddings

# %% [markdown]
# GPT-2 stops with an unfriendly error: it has no row for such a position. (A Llama, as our language model is one,
# computes its positions and gives no error; ours was made for as many as the last number says.) Prompt **and** answer
# must fit. The way on: cut the prompt to `context - max_new_tokens`, and cut it on the left (`truncation_side="left"`),
# so that the end stays, where the question is.

# %% [markdown]
# ## 12.13 Rules of your own
# <!-- T191 -->
# A **logits processor** changes the scores before a token is chosen; a **stopping criterion** decides after it. Both
# are small classes. Before you run this: what will be written when every token with the letter *s* is forbidden?

# %%
from transformers import LogitsProcessor, StoppingCriteria

class Without(LogitsProcessor):
    """Forbid every token that contains a letter."""

    def __init__(self, letter):
        self.banned = [number for token, number in tokenizer.get_vocab().items() if letter in token.lower()]

    def __call__(self, input_ids, scores):  # [texts, tokens so far], [texts, vocabulary]
        scores = scores.clone()
        scores[:, self.banned] = -torch.inf
        return scores

# %%
class AfterWords(StoppingCriteria):
    """Stop when a text has so many words."""

    def __init__(self, count):
        self.count = count

    def __call__(self, input_ids, scores, **kwargs):
        enough = [len(text.split()) > self.count for text in tokenizer.batch_decode(input_ids)]
        return torch.tensor(enough, device=input_ids.device)  # one True or False for each text

# %%
own = [
    {"logits_processor": [Without("s")]},
    {"stopping_criteria": [AfterWords(10)]},
    {"stop_strings": ["bright"], "tokenizer": tokenizer},
]
for options in own:
    text = model.generate(**prompt, do_sample=False, max_new_tokens=8, **options)
    print(list(options)[0], "→", repr(tokenizer.decode(text[0, start:])))

# %% [markdown]
# The first text does without the letter. The second stops when an eleventh word has begun, the third after the token
# that completed the stop string, which is ready-made: `stop_strings`.
#
# Forbidding a **word** is harder than forbidding a letter: a word may be several tokens. The library's `bad_words_ids`
# takes lists of ids. Its idea: a list's last token is forbidden exactly where the others have just been written.
#
# ### Exercise 12.6
# Write `forbidden_next(written, words)`. `written` is the list of ids so far, `words` a list of words, each a list of
# one or more ids. Return the set of ids that must not come next, because they would complete a word. For example, with
# words `[[5], [7, 8], [1, 2, 3]]`, after `[4, 7]` the ids `{5, 8}` are forbidden, and after `[1, 2]` `{5, 3}`.

# %% tags=["exercise"]
def forbidden_next(written: list[int], words: list[list[int]]) -> set[int]:
    """The ids that would complete one of the words."""
    # BEGIN SOLUTION
    found = set()
    for word in words:
        *beginning, last = word
        if written[len(written) - len(beginning) :] == beginning and len(written) >= len(beginning):
            found.add(last)
    return found
    # END SOLUTION

# %% tags=["check"]
lab.check("12.6", forbidden_next)

# %% [markdown]
# `lab.hint("12.6")` helps. The library's way, with a trap: *sun* and *␣sun* are different tokens.

# %%
for word in ("sun", " sun"):
    banned = tokenizer(word)["input_ids"]
    text = model.generate(**prompt, do_sample=False, max_new_tokens=4, bad_words_ids=[banned])
    print(repr(word), banned, "→", repr(tokenizer.decode(text[0, start:])))

# %% [markdown]
# Only the form with the space is what stands in the middle of a sentence.
#
# The opposite rule allows a few tokens and forbids all others: then the answer has the form that you need.
#
# ### Exercise 12.7
# Write `digits_only(scores, tokens, eos)`. `scores` is a tensor `[texts, vocabulary]`, `tokens` the list of the
# vocabulary's strings (index = id), `eos` the id that ends a text. Return new scores of the same shape: unchanged for
# tokens that consist of the digits `0` to `9` only, and for `eos`; minus infinity for all others. A token such as `"²"`
# or `""` is no digit. For example, scores `[[1.0, 2.0, 3.0]]` with tokens `["7", "a", "</s>"]` and `eos=2` give `[[1.0,
# -inf, 3.0]]`.

# %% tags=["exercise"]
def digits_only(scores: torch.Tensor, tokens: list[str], eos: int) -> torch.Tensor:
    """Scores where everything but digits and `eos` is minus infinity."""
    # BEGIN SOLUTION
    allowed = [number == eos or (token.isascii() and token.isdigit()) for number, token in enumerate(tokens)]
    closed = ~torch.tensor(allowed, device=scores.device)
    return scores.masked_fill(closed, -torch.inf)
    # END SOLUTION

# %% tags=["check"]
lab.check("12.7", digits_only)

# %% [markdown]
# `lab.hint("12.7")` helps. Such a rule in use, with a processor that the library calls for you. Before you run this:
# will a number be the right number?

# %%
digits = {number for token, number in tokenizer.get_vocab().items() if token.isascii() and token.isdigit()}
allowed = [*sorted(digits), tokenizer.eos_token_id]
numbers = ["How many legs does a spider have?", "In which year did the second world war end?"]
chats = [as_chat(text) for text in numbers]
freely = write(chats, new=6, do_sample=False)
only_digits = write(chats, new=6, do_sample=False, prefix_allowed_tokens_fn=lambda row, ids: allowed)
pd.DataFrame({"free": freely, "digits only": only_digits}, index=numbers)

# %% [markdown]
# `prefix_allowed_tokens_fn` is a processor in one line: it returns the ids that are allowed next. The form is
# guaranteed now: digits. The truth is not.

# %% [markdown]
# ## 12.14 Guess first, check later
# <!-- T193 -->
# Before you run this: the cache holds a text, and eight new tokens come at once. How much longer does that pass take
# than a pass over one?

# %%
ids = prompt["input_ids"]  # eight tokens
past = seconds(ids, repeats=1)[1]
single, eight = (min(seconds(ids[:, :new], past, repeats=1)[0] for _ in range(3)) for new in (1, 8))
f"eight tokens at once cost {eight / single:.1f} times what one costs"

# %% [markdown]
# Far less than eight passes. **Assisted decoding** uses that: guess a few tokens cheaply, let the model check them all
# in one pass, and keep those that it would have written itself. The cheapest guess is **prompt look-up**: find the last
# two tokens (or the last one) in the text so far, and guess what followed them there. Before you run this: for which
# tasks will such guesses be right?

# %%
story = "Anna lives in a small house by the lake. Every morning she feeds the ducks. In winter the lake freezes."
copying = tokenizer(as_chat(f"Repeat this text, word for word: {story}"), return_tensors="pt").to(device)
passes = []
hook = model.model.register_forward_hook(lambda *_: passes.append(1))
counts, texts = {}, {}
for name, options in {"plain": {}, "with look-up": {"prompt_lookup_num_tokens": 8}}.items():
    passes.clear()
    ids = model.generate(**copying, do_sample=False, max_new_tokens=14, **options)
    texts[name] = ids[0, copying["input_ids"].shape[1] :]
    counts[name] = {"tokens": len(texts[name]), "forward passes": len(passes)}
hook.remove()

# %%
assert torch.equal(*texts.values())
print(tokenizer.decode(texts["plain"]))
pd.DataFrame(counts)

# %% [markdown]
# The same tokens with fewer passes: whatever the guess, only what the model itself would have written is kept. It helps
# where the answer copies from the prompt. A poor guess is checked in vain, and its cost is all you lose. Instead of the
# prompt a smaller model may guess (`assistant_model=…`).

# %% [markdown]
# ## 12.15 Which strategy for which task?
# <!-- T196 -->
# Now measure. Two openings, three texts each, with four strategies. Three numbers: **perplexity** under the model (how
# surprising it finds the texts: the exponential of the mean negative log-probability), **distinct-2** (the share of
# different pairs of tokens in all texts), and **self-BLEU** (how much a text shares with the others of the same
# opening: 1 is the same text each time). Before you run this: which strategy gives the lowest perplexity, and which the
# most different texts?

# %%
from collections import Counter

def grams(row, size):
    return list(zip(*(row[shift:] for shift in range(size))))

def shared(row, others, size):
    """The share of a row's n-grams that another row has, too (no more often than that row has them)."""
    own, theirs = Counter(grams(row, size)), [Counter(grams(other, size)) for other in others]
    met = [min(count, max(other[gram] for other in theirs)) for gram, count in own.items()]
    return sum(met) / max(1, own.total())

def self_bleu(rows):
    """Mean over the rows: the geometric mean of their shared tokens and their shared pairs."""
    rest = [(row, rows[:place] + rows[place + 1 :]) for place, row in enumerate(rows)]
    return sum((shared(*one, 1) * shared(*one, 2)) ** 0.5 for one in rest) / len(rows)

# %%
openings = ["The sea was calm that morning, and", "My favourite thing about winter is"]
batch = tokenizer(openings, padding=True, return_tensors="pt").to(device)
begin = batch["input_ids"].shape[1]
strategies = {
    "greedy": {"do_sample": False},
    "3 beams": {"do_sample": False, "num_beams": 3, "num_return_sequences": 3},
    "temperature 0.7": {"do_sample": True, "top_k": 0, "temperature": 0.7, "num_return_sequences": 3},
    "temperature 1.5": {"do_sample": True, "top_k": 0, "temperature": 1.5, "num_return_sequences": 3},
}

# %% tags=["long"] why="the three measures side by side"
def measure(options):
    """Perplexity, distinct-2 and self-BLEU of six texts; and two of the texts."""
    told = {"output_logits": True, "return_dict_in_generate": True}
    out = model.generate(**batch, **options, **told, max_new_tokens=10)
    new, family = out.sequences[:, begin:], getattr(out, "beam_indices", None)
    scores = model.compute_transition_scores(out.sequences, out.logits, family, normalize_logits=True)
    ends = new == tokenizer.eos_token_id
    real = ends.cumsum(dim=1) - ends.long() == 0  # up to the first end, included
    rows = [row[keep].tolist() for row, keep in zip(new, real)]
    if len(rows) == len(openings):  # greedy has one text for an opening: three times the same
        rows = [row for row in rows for _ in range(3)]
    pairs = [pair for row in rows for pair in grams(row, 2)]
    alike = [self_bleu(rows[place : place + 3]) for place in range(0, len(rows), 3)]
    numbers = {"perplexity": torch.exp(-scores[real].mean()).item(), "distinct-2": len(set(pairs)) / len(pairs)}
    return {**numbers, "self-BLEU": sum(alike) / len(alike)}, tokenizer.batch_decode(rows[:2])

# %%
torch.manual_seed(0)
measured = {name: measure(options) for name, options in strategies.items()}
pd.DataFrame({name: numbers for name, (numbers, _) in measured.items()}).T.round(2)

# %%
pd.DataFrame({name: texts for name, (_, texts) in measured.items()}).T

# %% [markdown]
# Two sides of one coin. Searching gives texts that the model finds likely, and much alike; greedy has only one to give.
# A high temperature gives different texts, and soon no English. In between lies what people use for stories.
#
# ### Exercise 12.8
# Write `distinct(texts, size)`: `texts` is a list of texts, each a list of tokens. Return how many **different**
# n-grams of `size` tokens there are in all texts together, divided by how many there are in all; `0.0` if there are
# none. An n-gram never reaches from one text into the next. For example, `[["a", "b", "a", "b"], ["a", "b"]]` has the
# pairs *ab, ba, ab, ab*: with `size=2` that gives `0.5`.

# %% tags=["exercise"]
def distinct(texts: list[list[str]], size: int) -> float:
    """The share of different n-grams among all n-grams of all texts."""
    # BEGIN SOLUTION
    found = []
    for text in texts:
        found += [tuple(text[place : place + size]) for place in range(len(text) - size + 1)]
    return len(set(found)) / len(found) if found else 0.0
    # END SOLUTION

# %% tags=["check"]
lab.check("12.8", distinct)

# %% [markdown]
# `lab.hint("12.8")` helps.
#
# For a question with one right answer, variety is no virtue. Thirty sentences to complete, one word each. Before you
# run this: how many will greedy get right, and will two beams, which find likelier texts, get more?

# %%
closed = """The capital of France is=Paris;The capital of Italy is=Rome;The capital of Japan is=Tokyo;Bees make=honey
The capital of Germany is=Berlin;The capital of Egypt is=Cairo;The capital of Spain is=Madrid;Grass is usually=green
The capital of Greece is=Athens;The capital of Peru is=Lima;The opposite of hot is=cold;The opposite of up is=down
The opposite of empty is=full;The opposite of young is=old;The opposite of early is=late;The opposite of left is=right
The capital of China is=Beijing;The capital of Russia is=Moscow;Snow is usually=white
A baby dog is called a=puppy;A baby cat is called a=kitten;A young cow is called a=calf;Frozen water is called=ice
The day after Monday is=Tuesday;The month after May is=June;The number after seven is=eight;A ripe banana is=yellow
In Brazil people speak=Portuguese;In Austria people speak=German;The largest ocean is the=Pacific"""
facts = dict(fact.split("=") for line in closed.splitlines() for fact in line.split(";"))
len(facts)

# %%
import re

def first_words(options):
    """The first word that a strategy writes after each of the thirty beginnings."""
    return [(re.findall(r"\w+", text) or [""])[0] for text in write(list(facts), new=2, **options)]

# %%
single = {name: {**options, "num_return_sequences": 1} for name, options in strategies.items()}
single = {"greedy": single["greedy"], "2 beams": {**single["3 beams"], "num_beams": 2}, **single}
del single["3 beams"]
torch.manual_seed(0)
said = {name: first_words(options) for name, options in single.items()}
right = {name: sum(map(str.__eq__, words, facts.values())) for name, words in said.items()}

# %%
figure, axes = plt.subplots(figsize=(6.5, 2.6))
bars_of_30 = axes.barh(list(right)[::-1], list(right.values())[::-1], color="#0072B2")
axes.bar_label(bars_of_30, padding=3)
axes.set(xlabel="exact answers of 30", xlim=(0, 30))
axes.set_title(f"Exact answers: greedy {right['greedy']}, temperature 1.5 {right['temperature 1.5']}");

# %% [markdown]
# Longer is better. For a closed question greedy is a good choice, and a high temperature a bad one. Beams are no cure:
# a likelier text is not a truer one. What did greedy write where it was not right?

# %%
[f"{fact} {word}" for fact, word, true in zip(facts, said["greedy"], facts.values()) if word != true]

# %% [markdown]
# Some only begin in another way (*the …*, *a …*), which our strict count doesn't forgive. Others are false. No way of
# choosing can put a fact into a model that hasn't got it.
#
# What can: give the fact. **Generative question answering** puts a text in front of the question, and lets the model
# write the answer (chapter 02 cut it out of the text). Before you run this: what will it answer when the text does not
# say?

# %%
def ask(question, text=""):
    messages = [{"role": "system", "content": "Answer in a few words."}]
    messages.append({"role": "user", "content": f"Text: {text}\nQuestion: {question}" if text else question})
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)

passage = "The lighthouse of Port Edda was built in 1874 by the engineer Marta Lund. It is 31 metres high and green."
asked = ["Who built the lighthouse?", "Who is the keeper of the lighthouse?"]
told = write([*(ask(one) for one in asked), *(ask(one, passage) for one in asked)], new=16, do_sample=False)
pd.DataFrame({"without the text": told[:2], "with the text": told[2:]}, index=asked)

# %% [markdown]
# With the text the model finds a name that it has never read before. Where the text is silent, it writes something all
# the same. A generated answer is not a quotation: check it against the text.

# %% [markdown]
# ## 12.16 Not only text in
# <!-- T190 -->
# `generate` serves models for speech and for pictures too: whatever goes in, tokens come out. Before you run this: what
# will an untrained speech model hear in noise, and which of this chapter's arguments does it take?

# %%
from transformers import Speech2TextConfig, Speech2TextForConditionalGeneration, VisionEncoderDecoderModel

torch.manual_seed(0)
parts = {"layers": 1, "attention_heads": 2, "ffn_dim": 16}
sides = {f"{side}_{part}": size for side in ("encoder", "decoder") for part, size in parts.items()}
sound = {"num_conv_layers": 1, "conv_kernel_sizes": [3], "conv_channels": 16, "input_feat_per_channel": 8}
listener = Speech2TextForConditionalGeneration(Speech2TextConfig(vocab_size=40, d_model=16, **sides, **sound)).eval()
noise = torch.randn(1, 50, 8)  # [recordings, time steps, frequency bands]
for options in ({"do_sample": False}, {"num_beams": 3}, {"do_sample": True}):
    print(options, listener.generate(noise, max_new_tokens=6, min_new_tokens=6, **options).tolist())
hasattr(VisionEncoderDecoderModel, "generate"), VisionEncoderDecoderModel.main_input_name

# %% [markdown]
# Nonsense, of course, in three strategies: 16 numbers wide and never trained. The call is the one that you know. (The
# last line is a class for pictures: it takes pixels, and has the same `generate`.)

# %% [markdown]
# ## What changed since the notes
#
# *The notes* are five study documents, most of them Chinese, that this course grew out of.
#
# | the notes say | today | why |
# | --- | --- | --- |
# | `model.greedy_search(…)` and six more methods | `model.generate(…)`, one door for all | the strategy follows from the config |
# | `penalty_alpha`, `num_beam_groups`, `force_words_ids` | `custom_generate=folder` with `trust_remote_code=True` | three strategies moved out of the library |
# | `AutoModel.from_pretrained(…).generate(…)` | `AutoModelForCausalLM` | a model without a head can't choose a token |
# | `tokenizer.decode(output[0])` | `tokenizer.decode(output[0, start:])` | the prompt comes back in front of the answer |
# | `max_length=50` | `max_new_tokens=50` | `max_length` counts a decoder's prompt too |
# | `GenerationConfig()` has defaults (`top_k=50`, …) | all `None`; the defaults apply at the call | what you didn't say can come from the model's config |
# | `num_return_sequence=2` (one letter missing) | `num_return_sequences=2`, with beams or sampling | an unknown argument is an error now |
# | prompts written by hand | `tokenizer.apply_chat_template(messages)` | each chat model has a layout of its own |

# %%
assert not any(hasattr(model, method) for method in old)
assert small.generate(starts[:1], **trusted, penalty_alpha=0.5, top_k=2, max_new_tokens=2).shape == (1, 4)
assert hasattr(AutoModelForCausalLM.from_config(small.config), "generate")
assert tokenizer.decode(output[0]) == opening + tokenizer.decode(output[0, start:])
one = {"attention_mask": torch.ones(1, 2), "pad_token_id": 0}
for name, tokens in {"max_length": 5, "max_new_tokens": 7}.items():
    assert small.generate(starts[:1], **one, **{name: 5}).shape[1] == tokens
assert GenerationConfig().top_k is None
assert small.generate(starts[:1], **one, do_sample=True, num_return_sequences=2, max_new_tokens=2).shape[0] == 2
with lab.expect_error(ValueError):
    small.generate(starts[:1], **one, num_return_sequence=2)
assert tokenizer.apply_chat_template(question, tokenize=False).count("<|im_start|>") == 2

# %% [markdown]
# ## Quiz

# %%
lab.quiz("12")

# %% [markdown]
# ## Recap
# - A chat is a template, ids, logits, a strategy and text; without the template the same weights just go on.
# - Temperature, `top_k`, `top_p`, `min_p` and penalties all change one distribution: that of the next token.
# - Greedy, sampling and beam search are a loop each, equal to the library's; contrastive, diverse and constrained
#   search live in a folder of your own. None of them is sure to find the likeliest text.
# - The cache keeps the time per token nearly flat and costs memory for each token, layer and key-value head; it needs a
#   causal mask.
# - A config's fields are `None` until the call; scores give a text's log-probability; streams, stopping criteria and
#   logits processors are small classes.
# - Sampling is for variety, greedy for closed questions, a text in front of the question for facts: measured above.
#
# Next: chapter 13, Sharing on a Hub, puts a model where others can find it.

# %% [markdown] tags=["instructor"]
# ## For the instructor
# **Where it sticks.** Watch for these, besides the mistakes that the judges know:
#
# - *Deterministic* can be taken for *likeliest*: 12.5 finds a likelier text than greedy, and 12.6 counts the misses.
# - *Likeliest* can be taken for *true* (12.15).
# - A decoder's output begins with the prompt (12.2); `[start:]` is easily forgotten.
# - A fresh config says nothing, and yet sampling is cut to 50 tokens and texts to 20 (12.10).
#
# **To discuss:**
#
# - *Which strategy for a form letter, a story, a fact?* Lean on 12.15: the table of three measures, then the bars of
#   exact answers. A good answer sees that variety and surprise grow together, takes greedy for the closed question, and
#   expects no new fact from any strategy.
# - *The form is guaranteed, the truth is not. What is a constraint worth?* Lean on 12.13: the two columns; the answers
#   with and without a text in 12.15. A good answer says who reads the answer next, a program or a person, and what
#   still has to be checked.
# - *Three strategies left the library. Was that right?* Lean on 12.7: what still runs; the refusal in 12.8. A good
#   answer weighs code to keep against code that you must trust, and knows that three functions brought them back.
# - *Why does a chat model look only back?* Lean on 12.9: how many old keys move under each mask. A good answer speaks
#   of a cache that stays true, and of what each turn would cost otherwise.
#
# **If time is short.** 12.16 and 12.14 can be left out: no later section uses them. 12.8 can be cut to one of its three
# strategies for reading, but run its cells: 12.10 and *What changed* use them. Chapter 15 leans on the cache (12.9) and
# on perplexity (12.15). Exercises to keep: 12.2, and 12.4 if chapter 15 follows.
#
# **In class.** `labs fetch llm`: most sections write short texts with it. The sliders of 12.3 and the tree of 12.5 need
# a running kernel: project them, and let the class vote before each step. The times of 12.9 depend on the machine.

"""Chapter 12: ChatML, nucleus, a beam step, the cache's size, log-probability, forbidden words, digits, distinct-n."""

import random
from functools import partial
from types import SimpleNamespace

from labs_utils.exercises.vocabulary import Trial, exercise


def drawn(seed: int, *shape: int, spread: float = 3.0):
    """Seeded normal numbers of a shape."""
    import torch

    return spread * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def marked(messages, prompted, after_role: str = "\n", end: str = "<|im_end|>\n", opening: str = "assistant\n") -> str:
    """ChatML; the options are ways of getting it wrong."""
    text = "".join(f"<|im_start|>{one['role']}{after_role}{one['content']}{end}" for one in messages)
    return text + f"<|im_start|>{opening}" if prompted else text


SYSTEM = {"role": "system", "content": "You are a helpful assistant."}


@exercise(
    "12.1",
    mistakes=[
        ("A line break follows the role.", partial(marked, after_role=" ")),
        ("A line break follows each <|im_end|>.", partial(marked, end="<|im_end|>")),
        ("Each message ends with <|im_end|>.", partial(marked, end="\n")),
        ("The open message at the end is there only if it is asked for.", lambda messages, _: marked(messages, True)),
        ("Perhaps you forgot the open assistant message.", lambda messages, _: marked(messages, False)),
        ("The last message stays open: no <|im_end|> there.", partial(marked, opening="assistant\n<|im_end|>\n")),
        ("The open message ends with a line break behind its role.", partial(marked, opening="assistant")),
        ("You added a system message that nobody gave.", lambda given, prompted: marked([SYSTEM, *given], prompted)),
        (
            "The content stays as it is: do not strip it.",
            lambda given, prompted: marked([{**one, "content": one["content"].strip()} for one in given], prompted),
        ),
        ("Perhaps you took the last message only.", lambda messages, prompted: marked(messages[-1:], prompted)),
    ],
)
def chatml(answer):
    hello = [{"role": "user", "content": "Hi"}]
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Which is\nolder?"},
        {"role": "assistant", "content": "The first."},
        {"role": "user", "content": "  Why? 🙂 \n"},
    ]
    for messages in (hello, talk, []):
        for prompted in (False, True):
            trial = Trial(answer, messages, prompted)
            got = trial.returns(str)
            trial.equal(got, marked(messages, prompted), "your string {got} is not these messages in ChatML")


def kept(probabilities, top_p, more: int = 0) -> list[int]:
    """The nucleus, counted token by token; `more` tokens too many."""
    order = sorted(range(len(probabilities)), key=lambda one: -float(probabilities[one]))
    total, count = 0.0, 0
    while count < len(order) and total < top_p:
        total += float(probabilities[order[count]])
        count += 1
    return order[: count + more]


def above(probabilities, top_p) -> list[int]:
    return [one for one in kept(probabilities, 2.0) if float(probabilities[one]) >= top_p]


def unsorted_nucleus(probabilities, top_p) -> list[int]:
    total, found = 0.0, []
    for one in range(len(probabilities)):
        if total < top_p:
            total += float(probabilities[one])
            found.append(one)
    return found


@exercise(
    "12.2",
    mistakes=[
        ("The token that reaches top_p is kept, too.", partial(kept, more=-1)),
        ("That is one token more than needed to reach top_p.", partial(kept, more=1)),
        ("top_p is no threshold for a single token: the likeliest are added up.", above),
        ("Perhaps you added up in the order of the ids, not from the likeliest down.", unsorted_nucleus),
        ("The likeliest comes first: yours are in another order.", lambda p, top_p: sorted(kept(p, top_p))),
        ("The likeliest comes first: yours begin with the least likely.", lambda p, top_p: kept(p, top_p)[::-1]),
    ],
)
def nucleus(answer):
    import torch
    from transformers import TopPLogitsWarper

    example = torch.tensor([0.5, 0.08, 0.3, 0.12])
    given = [(example, 0.7), (example, 0.45), (torch.tensor([0.06, 0.9, 0.04]), 0.6)]
    for seed in range(12):
        probabilities = drawn(seed, 9, spread=1.5).softmax(dim=0)
        reached = probabilities.sort(descending=True).values.cumsum(dim=0)
        # between two sums, never on one: rounding must not decide
        given.append((probabilities, round(float(reached[seed % 6] + reached[seed % 6 + 1]) / 2, 4)))
    for probabilities, top_p in given:
        left = TopPLogitsWarper(top_p)(None, probabilities.log()[None])[0]
        expected = left.argsort(descending=True)[: int(left.isfinite().sum())].tolist()
        trial = Trial(answer, probabilities, top_p)
        got = trial.returns(list, "a list of ids", of=int)
        trial.equal(got, expected, "your ids {got} are not the fewest likeliest that reach top_p, the likeliest first")


def grown(totals, scores, width, own: bool = False, forget: bool = False, worst: bool = False, swap: bool = False):
    """The best children of all beams; the options are ways of getting it wrong."""
    rows = [[(0 if forget else total) + float(one) for one in row] for total, row in zip(totals, scores, strict=True)]
    children = [(total, parent, token) for parent, row in enumerate(rows) for token, total in enumerate(row)]
    if own:  # each beam keeps its own best child
        children = [max(one for one in children if one[1] == parent) for parent in range(len(rows))]
    found = sorted(children, reverse=not worst)[:width]
    return [(total, token, parent) for total, parent, token in found] if swap else found


def places(children) -> list[tuple[int, int]]:
    return [tuple(child[1:]) for child in children]


def sums(children) -> list[float]:
    return [child[0] for child in children]


def multiplied(totals, scores, width):
    children = [
        (total * float(one), parent, token)
        for parent, (total, row) in enumerate(zip(totals, scores, strict=True))
        for token, one in enumerate(row)
    ]
    return sorted(children, reverse=True)[:width]


@exercise(
    "12.3",
    mistakes=[
        ("Perhaps each beam kept its own best child: all children compete.", partial(grown, own=True)),
        ("Perhaps you left out what the beams had before.", partial(grown, forget=True)),
        ("The best is the highest: log-probabilities are negative.", partial(grown, worst=True)),
        ("A tuple is (total, parent, token): yours has token and parent changed.", partial(grown, swap=True)),
        ("Log-probabilities are added, not multiplied.", multiplied),
        ("The best comes first.", lambda *given: grown(*given)[::-1]),
        ("That is too many: `width` children survive.", lambda totals, scores, width: grown(totals, scores, width + 1)),
    ],
)
def beam_step(answer):
    import torch

    given = [([0.0], drawn(50, 1, 5).log_softmax(dim=-1), 3)]
    for seed in range(10):
        beams, width = 2 + seed % 3, 1 + seed % 5
        given.append((drawn(seed, beams).sub(9).tolist(), drawn(100 + seed, beams, 7).log_softmax(dim=-1), width))
    given.append(([-1.0, -2.0], torch.tensor([[-3.0, -0.5], [-0.1, -4.0]]), 2))
    for case in given:
        trial, expected = Trial(answer, *case), grown(*case)
        got = trial.returns(list, "a list of tuples (total, parent, token)", of=tuple)
        trial.expect(all(len(one) == 3 for one in got), "each child is a tuple (total, parent, token)")
        trial.equal(places(got), places(expected), "your children {got} (parent, token) are not the best", form=places)
        # sums of float32 numbers of about 20: rounding is near 1e-6
        trial.close(sums(got), sums(expected), 1e-3, "your totals are off by up to {off}", form=sums)


def cached(config, tokens, batch, size, layers=None, heads=None, width=None, both=2) -> int:
    """The formula; the options are ways of getting it wrong."""
    layers = config.num_hidden_layers if layers is None else layers
    heads = config.num_key_value_heads if heads is None else heads
    return both * layers * heads * (config.head_dim if width is None else width) * tokens * batch * size


def stored(config, tokens, batch, size) -> int:
    """What the library's cache takes, filled with zeros."""
    import torch
    from transformers import DynamicCache

    kinds = {1: torch.int8, 2: torch.float16, 4: torch.float32}
    cache = DynamicCache()
    for layer in range(config.num_hidden_layers):
        zeros = torch.zeros(batch, config.num_key_value_heads, tokens, config.head_dim, dtype=kinds[size])
        cache.update(zeros, zeros.clone(), layer)
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


@exercise(
    "12.4",
    mistakes=[
        ("Perhaps you counted the keys and left out the values.", partial(cached, both=1)),
        (
            "Perhaps you counted the heads of the queries: several of them share one key.",
            lambda config, *rest: cached(config, *rest, heads=config.num_attention_heads),
        ),
        (
            "Perhaps you took the model's width: with grouped heads keys are narrower.",
            lambda config, *rest: cached(config, *rest, heads=1, width=config.hidden_size),
        ),
        ("Perhaps you left out the layers: each has keys and values of its own.", partial(cached, layers=1)),
        ("Perhaps you left out the batch.", lambda config, tokens, batch, size: cached(config, tokens, 1, size)),
        ("Perhaps you counted numbers, not bytes.", lambda config, tokens, batch, _: cached(config, tokens, batch, 1)),
        ("Perhaps you left out the size of a head.", partial(cached, width=1)),
        ("Perhaps you left out the tokens.", lambda config, _, batch, size: cached(config, 1, batch, size)),
    ],
)
def cache_bytes(answer):
    draw = random.Random(6)
    cases = [(2, 1, 1, 8, 10, 1, 4)]
    for _ in range(12):
        heads = draw.choice([1, 2, 3])
        cases.append((draw.randint(2, 6), heads, heads * draw.randint(2, 4), draw.choice([4, 8]), draw.randint(2, 30),
                      draw.randint(1, 4), draw.choice([1, 2, 4])))  # fmt: skip
    for layers, heads, queries, width, tokens, batch, size in cases:
        config = SimpleNamespace(
            num_hidden_layers=layers,
            num_attention_heads=queries,
            num_key_value_heads=heads,
            hidden_size=queries * width,
            head_dim=width,
        )
        words = (
            f"{layers} layers, {queries} heads on {heads} key-value heads of size {width}, {batch} texts of {tokens}"
        )
        trial = Trial(answer, config, tokens, batch, size, given=f"{words} tokens, {size} bytes a number")
        got = trial.returns(int)
        trial.equal(got, stored(config, tokens, batch, size), "your {got} bytes are not what the library's cache takes")


def summed(scores, tokens, eos, normalize: bool = True, padding: bool = False, last: bool = True, mean: bool = False):
    """Log-probability of each text, step by step; the options are ways of getting it wrong."""
    import torch

    found = []
    for row, text in enumerate(tokens.tolist()):
        each = []
        for step, token in zip(scores, text, strict=True):
            one = step[row].double()
            value = float((one.log_softmax(dim=-1) if normalize else one)[token])
            if token != eos or last or padding:
                each.append(value)
            if token == eos and not padding:
                break
        found.append(sum(each) / max(1, len(each)) if mean else sum(each))
    return torch.tensor(found)


def probabilities_summed(scores, tokens, eos):
    import torch

    steps = torch.stack([step.softmax(dim=-1) for step in scores], dim=1)
    return steps.gather(-1, tokens[:, :, None]).sum(dim=(1, 2))


@exercise(
    "12.5",
    mistakes=[
        ("Scores are not log-probabilities: normalize them first.", partial(summed, normalize=False)),
        ("What stands after the first eos is padding.", partial(summed, padding=True)),
        ("The eos itself counts: the model chose it.", partial(summed, last=False)),
        ("The sum was asked for: perhaps you took the mean.", partial(summed, mean=True)),
        ("Perhaps you added probabilities: log-probabilities are added.", probabilities_summed),
        ("Perhaps you gave the probability, not its logarithm.", lambda *given: summed(*given).exp()),
        ("Perhaps you added up all texts: each has a number of its own.", lambda *given: summed(*given).sum()),
    ],
)
def sequence_log_probability(answer):
    import torch

    cases = []
    for seed in range(8):
        texts, steps = 1 + seed % 4, 2 + seed % 5
        tokens = torch.randint(6, (texts, steps), generator=torch.Generator().manual_seed(seed))
        cases.append(([drawn(10 * seed + step, texts, 6) for step in range(steps)], tokens, seed % 6))
    # the text's example comes last: its scores are all alike, so that one wrong answer looks like another
    cases += [([torch.zeros(1, 2)] * 2, torch.tensor([[0, 0]]), eos) for eos in (1, 0)]
    for scores, tokens, eos in cases:
        trial = Trial(answer, scores, tokens, eos)
        got = trial.tensor(None)
        # float32 against float64, sums of at most six numbers near 10
        trial.close(got, summed(scores, tokens, eos), 1e-3)


def completing(written, words, single: bool = True, anywhere: bool = False, every: bool = False, first: bool = False):
    """The ids that complete a word; the options are ways of getting it wrong."""
    found = set()
    for *beginning, last in words:
        size = len(beginning)
        ends = written[len(written) - size :] == beginning if size <= len(written) else False
        inside = any(written[place : place + size] == beginning for place in range(len(written) - size + 1))
        if (ends or (anywhere and inside)) and (single or size):
            found.add(last)
        if every:
            found |= {*beginning, last}
        if first:
            found.add([*beginning, last][0])
    return found


def by_last_only(written, words):
    """Looks at one id before, however long the word is."""
    return {word[-1] for word in words if len(word) == 1 or written[-1:] == word[-2:-1]}


@exercise(
    "12.6",
    mistakes=[
        ("A word of one id is always forbidden.", partial(completing, single=False)),
        ("The beginning must be what was written last, not somewhere earlier.", partial(completing, anywhere=True)),
        ("An id of a longer word is harmless until the others stand before it.", partial(completing, every=True)),
        ("Perhaps you forbid the first id of each word: the last one completes it.", partial(completing, first=True)),
        ("The whole beginning of a word must stand there, not only one id of it.", by_last_only),
    ],
)
def forbidden_next(answer):
    import torch
    from transformers import NoBadWordsLogitsProcessor

    draw = random.Random(8)
    words = [[5], [7, 8], [1, 2, 3]]
    cases = [([4, 7], words), ([1, 2], words), ([], words), ([2], [[1, 2, 3]]), ([1, 2, 4], words), ([9, 2], words)]
    for _ in range(40):
        drawn_words = [draw.choices(range(1, 5), k=draw.randint(1, 4)) for _ in range(4)]
        cases.append((draw.choices(range(1, 5), k=draw.randint(0, 7)), drawn_words))
    for written, given in cases:
        trial, expected = Trial(answer, written, given), completing(written, given)
        if written:  # the library's processor wants at least one id
            rule = NoBadWordsLogitsProcessor(given, eos_token_id=None)
            closed = rule(torch.tensor([written]), torch.zeros(1, 12))[0].isinf()
            expected = set(closed.nonzero()[:, 0].tolist())
        got = trial.returns(set, "a set of ids", of=int)
        trial.equal(got, expected, "your set {got} is not what would complete a word")


def only(scores, tokens, eos, low: float = float("-inf"), end: bool = True, digit=None, reverse: bool = False):
    """Digits and eos stay; the options are ways of getting it wrong."""
    digit = digit or (lambda token: token != "" and set(token) <= set("0123456789"))
    out = scores.clone()
    for number, token in enumerate(tokens):
        open_ = digit(token) or (end and number == eos)
        if open_ == reverse:
            out[:, number] = low
    return out


@exercise(
    "12.7",
    mistakes=[
        ("A very low score is not minus infinity, which was asked for.", partial(only, low=-1e9)),
        ("A score of 0 is not forbidden: softmax gives it a probability.", partial(only, low=0.0)),
        ("eos must stay open: otherwise no number ever ends.", partial(only, end=False)),
        ("str.isdigit also says True for ², which is no digit from 0 to 9.", partial(only, digit=str.isdigit)),
        ("str.isdecimal also says True for digits of other scripts, such as ٣.", partial(only, digit=str.isdecimal)),
        (
            "A line break behind the digits is no digit.",
            partial(only, digit=lambda token: token.strip("\n").isdigit() and token.isascii()),
        ),
        ("An empty token consists of no digit.", partial(only, digit=lambda token: set(token) <= set("0123456789"))),
        (
            "A digit somewhere in the token is not enough: all of it must be digits.",
            partial(only, digit=lambda token: any(one in "0123456789" for one in token)),
        ),
        ("A token may have several digits.", partial(only, digit=lambda token: token in [*"0123456789"])),
        ("Perhaps you closed the digits and left the others open.", partial(only, reverse=True)),
    ],
)
def digits_only(answer):
    vocabularies = [["7", "a", "</s>"], ["<pad>", "12", "x1", "²", "", "0", "</s>", " 5", "٣", "8\n", "9"]]
    for seed, tokens in enumerate(vocabularies):
        for rows in (1, 3):
            eos = tokens.index("</s>")
            scores = drawn(seed + rows, rows, len(tokens))
            trial = Trial(answer, scores, tokens, eos)
            got = trial.tensor((rows, len(tokens)))
            trial.close(got, only(scores, tokens, eos), 0.0, "your scores are not the ones asked for")


def share(
    texts,
    size,
    across: bool = False,
    average: bool = False,
    per_token: bool = False,
    once: bool = False,
    tails: bool = False,
    glued: bool = False,
):
    """distinct-n; the options are ways of getting it wrong."""
    texts = [[one for text in texts for one in text]] if across else texts
    stop = 1 if tails else size
    pieces = [[tuple(text[place : place + size]) for place in range(len(text) - stop + 1)] for text in texts]
    if glued:
        pieces = [["".join(piece) for piece in one] for one in pieces]
    if average:
        shares = [len(set(one)) / len(one) for one in pieces if one]
        return sum(shares) / len(shares) if shares else 0.0
    found = [piece for one in pieces for piece in one]
    below = sum(len(text) for text in texts) if per_token else len(found)
    above_ = sum(found.count(piece) == 1 for piece in found) if once else len(set(found))
    return above_ / below if below else 0.0


@exercise(
    "12.8",
    mistakes=[
        ("An n-gram must not reach from one text into the next.", partial(share, across=True)),
        ("Perhaps you took the mean over the texts: count in all of them together.", partial(share, average=True)),
        ("Divide by the number of n-grams, not of tokens.", partial(share, per_token=True)),
        ("Different n-grams are counted once each, the repeated ones too.", partial(share, once=True)),
        ("Fewer than `size` tokens at the end of a text are no n-gram.", partial(share, tails=True)),
        ("Perhaps you glued the tokens together: a + bc is not ab + c.", partial(share, glued=True)),
        ("Perhaps you counted single tokens.", lambda texts, size: share(texts, 1)),
        (
            "Perhaps you counted repeated n-grams: the share of the different ones was asked for.",
            lambda texts, size: 1 - share(texts, size),
        ),
    ],
)
def distinct(answer):
    draw = random.Random(9)
    cases = [([["a", "b", "a", "b"], ["a", "b"]], 2), ([["a", "b", "a", "b", "c"], ["c", "a", "b"]], 2)]
    for _ in range(15):
        texts = [draw.choices("abc", k=draw.randint(0, 9)) for _ in range(draw.randint(1, 4))]
        cases.append((texts, draw.randint(1, 3)))
    cases += [([["a"], ["b"]], 2), ([], 1), ([["a", "b", "c"]], 3), ([["a", "bc", "ab", "c"]], 2)]
    for texts, size in cases:
        trial = Trial(answer, texts, size)
        got = trial.returns(float)
        # one division of whole numbers: only rounding is allowed
        trial.close(got, share(texts, size), 1e-6, "your share {got} is not that of the different n-grams")

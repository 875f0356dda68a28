"""Chapter 04: counting and merging pairs, BPE and WordPiece by hand, packing a pair, windows, spans."""

import random
from functools import partial

from labs_utils.exercises.vocabulary import Trial, exercise

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def numbered(entries) -> dict[str, int]:
    """A vocabulary: each different entry with its number."""
    return {entry: index for index, entry in enumerate(dict.fromkeys(entries))}


def counted(words, weigh: bool = True, once: bool = False, replace: bool = False, shorter: int = 0) -> dict:
    """How often each pair of neighbours occurs; the options are ways of getting it wrong."""
    pairs: dict = {}
    for symbols, frequency in words.items():
        found = list(zip(symbols[: len(symbols) - shorter], symbols[1:], strict=False))
        for pair in dict.fromkeys(found) if once else found:
            pairs[pair] = (0 if replace else pairs.get(pair, 0)) + (frequency if weigh else 1)
    return pairs


@exercise(
    "4.1",
    mistakes=[
        ("Perhaps you counted each word once: the value tells how often it occurs.", partial(counted, weigh=False)),
        ("Perhaps you counted a pair only once in a word that holds it several times.", partial(counted, once=True)),
        ("Perhaps you replaced an earlier word's count when the pair came again.", partial(counted, replace=True)),
        ("Perhaps you missed the last pair of a word.", partial(counted, shorter=2)),
    ],
)
def count_pairs(answer):
    draw = random.Random(0)
    cases = [{("h", "u", "g"): 10, ("h", "u", "g", "s"): 5}, {("a",): 7}, {}, {tuple("aaabaa"): 2}, {("th", "e"): 3}]
    for _ in range(20):
        cases.append({tuple(draw.choices("abc", k=draw.randint(1, 8))): draw.randint(1, 30) for _ in range(6)})
    for words in cases:
        trial, expected = Trial(answer, words), counted(words)
        got = trial.returns(dict)
        for key in got:
            trial.expect(
                type(key) is tuple and len(key) == 2, f"each key is a tuple of two symbols, but {key!r} is none"
            )
        got = {pair: count for pair, count in got.items() if count}  # a Counter may hold zeros
        strange = "Perhaps you joined what is not neighbouring in one word.", bool(set(got) - set(expected))
        trial.equal(got, expected, "your counts {got} are not how often the pairs occur", strange)


def replaced(word, pair, most: int = -1) -> list[str]:
    """The word with the pair merged, at most so many times: replaced in a text whose symbols end in a line break."""
    text = "\n" + "".join(f"{symbol}\n\n" for symbol in word)
    left, right = pair
    return [part for part in text.replace(f"\n{left}\n\n{right}\n", f"\n{left}{right}\n", most).split("\n") if part]


def merged_overlapping(word, pair) -> list[str]:
    merged = word[:1]
    for symbol in word[1:]:
        if merged[-1].endswith(pair[0]) and symbol == pair[1]:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def merged_in_twos(word, pair) -> list[str]:
    steps = [word[place : place + 2] for place in range(0, len(word), 2)]
    return [symbol for two in steps for symbol in (["".join(two)] if tuple(two) == pair else two)]


@exercise(
    "4.2",
    mistakes=[
        ("Nothing was merged.", lambda word, pair: word),
        ("Perhaps you stopped after the first match.", partial(replaced, most=1)),
        ("Perhaps a symbol went into two merges: after a merge, go on behind the pair.", merged_overlapping),
        ("Perhaps you skipped a symbol after a merge or after a mismatch.", merged_in_twos),
    ],
)
def merge_pair(answer):
    draw = random.Random(1)
    words = "hug", "huggug", "aaa", "aaaaa", "h", "", ["th", "e", "th", "e"], ["t", "h", "e"], ["a", "b", "ab"]
    pairs = "xy", "ug", "aa", "aa", "hh", "ab", ("th", "e"), ("th", "e"), "ab"
    cases = [(list(word), tuple(pair)) for word, pair in zip(words, pairs, strict=True)]
    cases += [(draw.choices("ab", k=draw.randint(2, 12)), tuple(draw.choices("ab", k=2))) for _ in range(40)]
    for word, pair in cases:
        trial = Trial(answer, word, pair)
        got = trial.returns(list, of=str)
        trial.expect("".join(got) == "".join(word), f"your result {got} spells another word")
        trial.equal(got, replaced(word, pair), "your result {got} is not the left-to-right merge")


def replayed(word: str, merges, most: int = -1) -> list[str]:
    """BPE in passes: each merge in its turn, through the whole word."""
    symbols = list(word)
    for pair in merges:
        symbols = replaced(symbols, pair, most)
    return symbols


def longest_pieces(word: str, merges) -> list[str]:
    vocab, found = {"".join(pair) for pair in merges}, []
    while word:
        size = next((size for size in range(len(word), 1, -1) if word[:size] in vocab), 1)
        found.append(word[:size])
        word = word[size:]
    return found


def learned_merges(draw: random.Random) -> list[tuple[str, str]]:
    """What the library's trainer learns from sixty random words."""
    import json

    from tokenizers import Tokenizer, models, trainers

    raw = Tokenizer(models.BPE())
    text = [drawn_word(draw, 2, 9) for _ in range(60)]
    settings = {"vocab_size": 40, "initial_alphabet": list("abcd"), "show_progress": False}
    raw.train_from_iterator(text, trainers.BpeTrainer(**settings))
    return [tuple(pair) for pair in json.loads(raw.to_str())["model"]["merges"]]


def drawn_word(draw: random.Random, least: int, most: int) -> str:
    return "".join(draw.choices("abcd", weights=(4, 3, 2, 1), k=draw.randint(least, most)))


def library_tokens(word: str, merges) -> list[str]:
    from tokenizers import Tokenizer, models

    vocab = numbered([*word, *(symbol for pair in merges for symbol in (*pair, "".join(pair)))])
    return Tokenizer(models.BPE(vocab=vocab, merges=merges)).encode(word).tokens


@exercise(
    "4.3",
    mistakes=[
        ("Perhaps you took the longest piece each time: that is WordPiece. BPE replays its merges.", longest_pieces),
        ("Perhaps you applied the merges from the last to the first.", lambda word, m: replayed(word, m[::-1])),
        ("Perhaps a merge was applied to its first match only.", partial(replayed, most=1)),
    ],
)
def bpe(answer):
    draw = random.Random(2)
    example = [("g", "s"), ("u", "g"), ("u", "gs"), ("h", "u")]
    cases = [("hugs", example), ("hug", []), ("a", [("a", "a")]), ("aaaaa", [("a", "a"), ("aa", "aa")])]
    for _ in range(8):
        merges = learned_merges(draw)
        cases += [(drawn_word(draw, 1, 12), merges) for _ in range(12)]
    for word, merges in cases:
        expected = library_tokens(word, merges)
        if (
            replayed(word, merges) != expected
        ):  # where passes in order and the earliest-first search part, both are fair
            continue
        trial = Trial(answer, word, merges)
        got = trial.returns(list, of=str)
        trial.expect("".join(got) == word, f"your tokens {got} spell another word")
        left = "Something is left to merge.", len(got) > len(expected)
        trial.equal(got, expected, "your tokens {got} are not what the merges give in their order", left)


def pieces(word, vocab, marks: str = "##", shortest: bool = False, keep: bool = False, skip: bool = False) -> list[str]:
    """WordPiece; the options are ways of getting it wrong."""
    found, begin = [], 0
    while begin < len(word):
        ends = range(begin + 1, len(word) + 1)
        fitting = [end for end in ends if (marks if begin else "") + word[begin:end] in vocab]
        if not fitting:
            return [*found, "[UNK]"] if keep else ["[UNK]"]
        end = min(fitting) if shortest else max(fitting)
        found.append(("" if skip else marks if begin else "") + word[begin:end])
        begin = end
    return found


def backtracked(word, vocab, begin: int = 0) -> list[str]:
    """The first way of spelling the word, longest pieces first, going back where it must."""
    if begin == len(word):
        return []
    for end in range(len(word), begin, -1):
        piece = ("##" if begin else "") + word[begin:end]
        rest = backtracked(word, vocab, end) if piece in vocab else ["[UNK]"]
        if rest != ["[UNK]"]:
            return [piece, *rest]
    return ["[UNK]"]


@exercise(
    "4.4",
    mistakes=[
        ("Perhaps you looked up inner pieces without ##.", partial(pieces, marks="")),
        ("A longer piece was in the vocabulary. Perhaps you took short ones first.", partial(pieces, shortest=True)),
        (
            "One part that can't be spelled makes the whole word [UNK], without the pieces found so far.",
            partial(pieces, keep=True),
        ),
        ("Perhaps the ## is missing in front of inner pieces.", partial(pieces, skip=True)),
        ("WordPiece never goes back to a shorter piece: when nothing fits the rest, the word is unknown.", backtracked),
    ],
)
def wordpiece_word(answer):
    from tokenizers import Tokenizer, models

    draw = random.Random(3)
    cases = [(word, {"un", "##a", "##aff", "##able"}) for word in ("unaffable", "unable", "un", "able")]
    cases += [("unable", {"un", "una", "##able", "a"}), ("unable", {"un", "##ab", "##able"})]
    cases += [(word, {"a", "b", "##b", "##bc"}) for word in ("abz", "zab", "abcb")]
    for _ in range(12):
        starts = {"".join(draw.choices("abc", k=draw.randint(1, 3))) for _ in range(6)}
        inner = {"##" + "".join(draw.choices("abc", k=draw.randint(1, 4))) for _ in range(12)}
        cases += [("".join(draw.choices("abc", k=draw.randint(1, 10))), starts | inner) for _ in range(12)]
    for word, vocab in cases:
        trial = Trial(answer, word, vocab)
        got = trial.returns(list, of=str)
        library = Tokenizer(models.WordPiece(vocab=numbered(["[UNK]", *sorted(vocab)]), unk_token="[UNK]"))
        trial.equal(
            got,
            library.encode(word).tokens,
            "your pieces {got} are not the longest matches from left to right",
            ("One of them is not in the vocabulary.", not {*got} <= {*vocab, "[UNK]"}),
        )


def packed(first, second, cls, sep, between=(), end: bool = True, zeros: int = 0):
    """BERT's layout; the options are ways of getting it wrong."""
    ids = [cls, *first, sep]
    if second is None:
        return ids, [0] * len(ids)
    both = [*ids, *between, *second, *([sep] if end else [])]
    return both, [0] * (len(ids) + zeros) + [1] * (len(both) - len(ids) - zeros)


@exercise(
    "4.5",
    mistakes=[
        ("There is one [CLS] only, at the very beginning.", lambda a, b, cls, sep: packed(a, b, cls, sep, [cls])),
        ("A [SEP] is missing: each text ends with one.", lambda *given: packed(*given, end=False)),
        (
            "There is one [SEP] too many: two between the texts is RoBERTa's layout.",
            lambda a, b, cls, sep: packed(a, b, cls, sep, [sep]),
        ),
        ("A single text has one [SEP].", lambda a, b, cls, sep: packed(a, b or [], cls, sep)),
        ("The [SEP] that closes the first text belongs to it.", lambda *given: packed(*given, zeros=-1)),
        ("The second text has type 1.", lambda a, b, cls, sep: packed(a, b, cls, sep, zeros=len(b or []) + 1)),
    ],
)
def pack(answer):
    draw = random.Random(4)
    for number in range(24):
        first, second = (draw.choices(range(200, 300), k=draw.randint(1, 6)) for _ in range(2))
        cls, sep = (101, 102) if number % 2 else (draw.randint(0, 50), draw.randint(51, 99))
        trial = Trial(answer, first, second if number % 3 else None, cls, sep)
        got = trial.returns(tuple, "a pair (ids, types)")
        trial.expect(len(got) == 2, f"a pair (ids, types) was expected, but {len(got)} things came back")
        expected = packed(*trial.inputs)
        for part, name in enumerate(("ids", "types")):
            sentence = f"your {name} {{got}} are not BERT's"
            trial.equal(got[part], expected[part], sentence, form=lambda both, part=part: both[part])


def spans(length, max_length, stride, room: int = 2, share: bool = True, move: bool = False, on: bool = False) -> list:
    """The pieces of a text; the options are ways of getting it wrong."""
    size = max_length - room
    step = max(stride if move else size - stride if share else size, 1)
    found = [(start, min(start + size, length)) for start in range(0, length, step)]
    ended = [place for place, (_, end) in enumerate(found) if end == length]
    return found if on else found[: ended[0] + 1]


@exercise(
    "4.6",
    mistakes=[
        ("Special tokens need room too: look at the first piece.", partial(spans, room=0)),
        (
            "Your pieces share nothing: each begins with the last `stride` tokens of the one before.",
            partial(spans, share=False),
        ),
        ("Here stride is how many tokens two pieces share, not how far the start moves.", partial(spans, move=True)),
        ("Perhaps you went on after a piece had reached the end of the text.", partial(spans, on=True)),
        (
            "Perhaps you dropped the last, shorter piece.",
            lambda *given: [one for one in spans(*given) if one[1] - one[0] == given[1] - 2] or spans(*given)[:1],
        ),
    ],
)
def windows(answer):
    from transformers import BertTokenizer

    library = BertTokenizer(vocab=numbered([*SPECIAL, "a"]))
    draw = random.Random(5)
    cases = [(12, 8, 2), (6, 8, 2), (5, 8, 2), (7, 8, 2), (10, 8, 2), (1, 3, 0), (9, 5, 0), (40, 8, 5)]
    sizes = [draw.randint(3, 14) for _ in range(30)]
    cases += [(draw.randint(1, 50), size, draw.randint(0, size - 3)) for size in sizes]
    settings = {"truncation": True, "return_overflowing_tokens": True, "return_offsets_mapping": True}
    for length, size, stride in cases:
        trial = Trial(answer, length, size, stride)
        got = [tuple(one) for one in trial.returns(list, "a list of (start, end)", of=tuple)]
        trial.expect(all(len(one) == 2 for one in got), "each piece is a (start, end)")
        encoded = library(" ".join("a" * length), max_length=size, stride=stride, **settings)
        # one letter and one space a word: character 2 * n belongs to token n; (0, 0) is a special token's
        words = [[span for span in offsets if span != (0, 0)] for offsets in encoded["offset_mapping"]]
        expected = [(piece[0][0] // 2, piece[-1][0] // 2 + 1) for piece in words]
        trial.equal(got, expected, "your pieces {got} are not the tokenizer's")


def overlapping(offsets, start, end, touch: int = 0, special: bool = False) -> list[int]:
    """The tokens that share a character with the span; the options are ways of getting it wrong."""
    return [
        index
        for index, (first, last) in enumerate(offsets)
        if first < end + touch and last > start - touch and (last > first or special)
    ]


def contained(offsets, start, end) -> list[int]:
    return [index for index, (first, last) in enumerate(offsets) if start <= first < last <= end]


@exercise(
    "4.7",
    mistakes=[
        (
            "A token that ends where the span starts, or starts where it ends, shares no character with it.",
            partial(overlapping, touch=1),
        ),
        ("A token that is only partly in the span belongs to it.", contained),
        (
            "A special token covers no character: leave it out.",
            lambda offsets, start, end: [i for i, (a, b) in enumerate(offsets) if a < end and (b > start or a == b)],
        ),
        ("The last token of the span belongs to it.", lambda *given: overlapping(*given)[:-1]),
    ],
)
def tokens_of_span(answer):
    draw = random.Random(6)
    example = [(0, 0), (0, 4), (5, 10), (10, 14), (14, 15), (0, 0)]
    cases = [(example, *span) for span in ((8, 12), (0, 4), (0, 1), (4, 5), (10, 12), (0, 15), (6, 7))]
    for _ in range(40):
        offsets, place = [(0, 0)], 0
        for _ in range(draw.randint(1, 10)):
            first = place + draw.randint(0, 2)
            place = first + draw.randint(1, 6)
            offsets.append((first, place))
        start = draw.randint(0, place - 1)
        cases.append(([*offsets, (0, 0)], start, draw.randint(start + 1, place)))
    for case in cases:
        trial = Trial(answer, *case)
        got = trial.returns(list, "a list of indices", of=int)
        order = "The indices come in the order of the tokens, each once."
        trial.equal(
            got,
            overlapping(*case),
            "your tokens {got} are not those that share a character with the span",
            (order, sorted(set(got)) == overlapping(*case)),
        )

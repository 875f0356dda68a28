"""Chapter 04: counting and merging pairs, BPE and WordPiece by hand, packing a pair, windows, spans."""

import random

from labs_utils.exercises.core import call, describe, exercise, expect


def _strings(value, given: str, length: int | None = None) -> list[str]:
    """The learner's list (or tuple) of strings as a list, or a complaint."""
    right = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    expect(right, f"Given {given}, a list of strings was expected, but got {describe(value)}.")
    if length is not None:
        joined = "".join(value)
        expect(
            len(joined) == length, f"Given {given}, the pieces must spell the word again, but got {describe(value)}."
        )
    return list(value)


@exercise("4.1")
def count_pairs(answer):
    draw = random.Random(0)
    cases = [{("h", "u", "g"): 10, ("h", "u", "g", "s"): 5}, {("a",): 7}, {}, {tuple("aaabaa"): 2}, {("th", "e"): 3}]
    for _ in range(20):
        spelled = {tuple(draw.choice("abc") for _ in range(draw.randint(1, 8))): draw.randint(1, 30) for _ in range(6)}
        cases.append(spelled)
    for words in cases:
        given = describe(words)
        pairs = call(answer, dict(words), given=given)
        expect(isinstance(pairs, dict), f"Given {given}, a dict was expected, but got {describe(pairs)}.")
        keys = all(isinstance(key, tuple) and len(key) == 2 for key in pairs)
        expect(
            keys, f"Given {given}, every key must be a tuple of two symbols, but the keys are {describe(list(pairs))}."
        )
        pairs = {pair: count for pair, count in pairs.items() if count}
        wanted: dict = {}
        for symbols, frequency in words.items():
            for left, right in zip(symbols, symbols[1:], strict=False):
                wanted[left, right] = wanted.get((left, right), 0) + frequency
        if pairs == wanted:
            continue
        perhaps = ""
        if pairs == _counted(words, frequency=False):
            perhaps = " Perhaps you counted each word once: the value tells how often the word occurs."
        elif pairs == _counted(words, once=True):
            perhaps = " Perhaps you counted a pair only once in a word that holds it several times."
        elif pairs == _counted(words, overwrite=True):
            perhaps = " Perhaps you replaced the count of an earlier word when the pair came again."
        elif set(pairs) - set(wanted):
            strange = next(iter(set(pairs) - set(wanted)))
            perhaps = f" Perhaps you joined what is not neighbouring in one word: {strange} is no pair there."
        elif set(wanted) - set(pairs):
            perhaps = " Perhaps you missed the first or the last pair of a word."
        expect(False, f"Given {given}, your counts {describe(pairs)} are not how often the pairs occur.{perhaps}")


def _counted(words, frequency: bool = True, once: bool = False, overwrite: bool = False) -> dict:
    """What a learner gets who forgets the frequency, counts once a word, or overwrites."""
    pairs: dict = {}
    for symbols, count in words.items():
        found = list(zip(symbols, symbols[1:], strict=False))
        for pair in dict.fromkeys(found) if once else found:
            pairs[pair] = (0 if overwrite else pairs.get(pair, 0)) + (count if frequency else 1)
    return pairs


@exercise("4.2")
def merge_pair(answer):
    from tokenizers import Tokenizer, models

    draw = random.Random(1)
    cases = [
        (["h", "u", "g", "g", "u", "g"], ("u", "g")),
        (["a", "a", "a"], ("a", "a")),
        (["a"] * 5, ("a", "a")),
        (["h", "u", "g"], ("x", "y")),
        (["h"], ("h", "h")),
        ([], ("a", "b")),
        (["th", "e", "th", "e"], ("th", "e")),
        (["t", "h", "e"], ("th", "e")),
        (["a", "b", "ab"], ("a", "b")),
    ]
    cases += [
        ([draw.choice("ab") for _ in range(draw.randint(2, 12))], tuple(draw.choices("ab", k=2))) for _ in range(40)
    ]
    for word, pair in cases:
        given = f"the word {word} and the pair {pair}"
        mine = list(word)
        merged = call(answer, mine, pair, given=given)
        if merged is None and mine != word:
            expect(False, f"Given {given}, a list was expected, but your function changed its input and returned None.")
        merged = _strings(merged, given)
        expect("".join(merged) == "".join(word), f"Given {given}, the result {merged} spells another word.")
        wanted = _replaced(word, pair)
        if word and all(len(symbol) == 1 for symbol in word):  # the library's BPE begins with single characters too
            vocab = {entry: index for index, entry in enumerate(dict.fromkeys([*word, *pair, "".join(pair)]))}
            wanted = Tokenizer(models.BPE(vocab=vocab, merges=[pair])).encode("".join(word)).tokens
        perhaps = ""
        if merged == word:
            perhaps = " Nothing was merged."
        elif merged == _replaced(word, pair, limit=1):
            perhaps = " Perhaps you stopped after the first match."
        elif len(merged) < len(wanted):
            perhaps = " Perhaps a symbol went into two merges: after a merge, go on behind the pair."
        elif any((left, right) == pair for left, right in zip(merged, merged[1:], strict=False)):
            perhaps = " The pair still stands there. Perhaps you skipped a symbol after a merge or after a mismatch."
        expect(merged == wanted, f"Given {given}, your result {merged} is not the left-to-right merge.{perhaps}")


def _replaced(word, pair, limit: int = -1) -> list[str]:
    """The same by replacing in a text whose symbols end in a line break."""
    text = "\n" + "".join(f"{symbol}\n\n" for symbol in word)
    left, right = pair
    return [part for part in text.replace(f"\n{left}\n\n{right}\n", f"\n{left}{right}\n", limit).split("\n") if part]


@exercise("4.3")
def bpe(answer):
    from tokenizers import Tokenizer, models, trainers

    draw = random.Random(2)
    example = [("g", "s"), ("u", "g"), ("u", "gs"), ("h", "u")]
    cases = [
        ("hugs", example),
        ("hug", []),
        ("a", [("a", "a")]),
        ("aaaaa", [("a", "a"), ("aa", "aa")]),
        ("ugug", example),
    ]
    for _ in range(8):
        raw = Tokenizer(models.BPE())
        text = ["".join(draw.choices("abcd", weights=(4, 3, 2, 1), k=draw.randint(2, 9))) for _ in range(60)]
        raw.train_from_iterator(
            text, trainers.BpeTrainer(vocab_size=40, initial_alphabet=list("abcd"), show_progress=False)
        )
        merges = _merges(raw)
        cases += [
            ("".join(draw.choices("abcd", weights=(4, 3, 2, 1), k=draw.randint(1, 12))), merges) for _ in range(12)
        ]
    for word, merges in cases:
        given = f"the word {word!r} and the merges {describe(merges)}"
        characters = dict.fromkeys([*word, *(symbol for pair in merges for symbol in (*pair, "".join(pair)))])
        library = Tokenizer(models.BPE(vocab={entry: index for index, entry in enumerate(characters)}, merges=merges))
        wanted = library.encode(word).tokens
        in_passes = list(word)
        for pair in merges:
            in_passes = _replaced(in_passes, pair)
        if in_passes != wanted:  # where passes in order and the earliest-first search part, either is a fair reading
            continue
        got = _strings(call(answer, word, list(merges), given=given), given, len(word))
        perhaps = ""
        longest = got == _longest(word, {*word, *("".join(pair) for pair in merges)})
        if got == _backwards(word, merges):
            perhaps = " Perhaps you applied the merges from the last to the first"
            perhaps += ", or took the longest piece each time: that is WordPiece." if longest else "."
        elif longest:
            perhaps = " Perhaps you took the longest piece each time: that is WordPiece. BPE replays its merges."
        elif len(got) > len(wanted):
            perhaps = " Something is left to merge. Perhaps a merge was applied to its first match only."
        else:
            perhaps = " Perhaps a later merge came before an earlier one."
        expect(got == wanted, f"Given {given}, your tokens {got} are not what the merges give in their order.{perhaps}")


def _merges(raw) -> list[tuple[str, str]]:
    import json

    return [tuple(pair) for pair in json.loads(raw.to_str())["model"]["merges"]]


def _backwards(word: str, merges) -> list[str]:
    symbols = list(word)
    for pair in reversed(merges):
        symbols = _replaced(symbols, pair)
    return symbols


def _longest(word: str, vocab: set[str]) -> list[str]:
    found = []
    while word:
        size = next((size for size in range(len(word), 0, -1) if word[:size] in vocab), 1)
        found.append(word[:size])
        word = word[size:]
    return found


@exercise("4.4")
def wordpiece_word(answer):
    from tokenizers import Tokenizer, models

    draw = random.Random(3)
    example = {"un", "##a", "##aff", "##able"}
    tail = {"a", "b", "##b", "##bc"}
    cases = [(word, example) for word in ("unaffable", "unable", "un", "able")]
    cases += [(word, tail) for word in ("abz", "zab", "abcb")]
    for _ in range(12):
        starts = {"".join(draw.choices("abc", k=draw.randint(1, 3))) for _ in range(6)}
        inner = {"##" + "".join(draw.choices("abc", k=draw.randint(1, 4))) for _ in range(12)}
        cases += [("".join(draw.choices("abc", k=draw.randint(1, 10))), starts | inner) for _ in range(12)]
    for word, vocab in cases:
        given = f"the word {word!r} and the vocabulary {describe(sorted(vocab))}"
        numbered = {entry: index for index, entry in enumerate(["[UNK]", *sorted(vocab)])}
        wanted = Tokenizer(models.WordPiece(vocab=numbered, unk_token="[UNK]")).encode(word).tokens
        got = _strings(call(answer, word, set(vocab), given=given), given)
        perhaps = ""
        if "[UNK]" in got and len(got) > 1:
            perhaps = " One part that can't be spelled makes the whole word [UNK], without the pieces found so far."
        elif any(piece not in vocab and piece != "[UNK]" for piece in got):
            stray = next(piece for piece in got if piece not in vocab)
            perhaps = f" The piece {stray!r} is not in the vocabulary. Perhaps its ## is missing, or too much."
        elif wanted == ["[UNK]"]:
            perhaps = " WordPiece never goes back to a shorter piece: when nothing fits the rest, the word is unknown."
        elif got == ["[UNK]"]:
            perhaps = (
                " This word can be spelled. Perhaps you looked up inner pieces without ##, or took short ones first."
            )
        elif len(got) > len(wanted) or len(got[0]) < len(wanted[0]):
            perhaps = " A longer piece was in the vocabulary. Perhaps you searched from the short end."
        expect(
            got == wanted, f"Given {given}, your pieces {got} are not the longest matches from left to right.{perhaps}"
        )


@exercise("4.5")
def pack(answer):
    from transformers import BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    library = BertTokenizer(vocab={entry: index for index, entry in enumerate([*special, *"abcdefgh"])})
    draw = random.Random(4)
    for number in range(24):
        first = draw.choices("abcdefgh", k=draw.randint(1, 6))
        second = None if number % 3 == 0 else draw.choices("abcdefgh", k=draw.randint(1, 6))
        texts = [" ".join(text) for text in (first, second) if text is not None]
        encoded = library(*texts)
        move = 100 if number % 2 else 0  # other ids than the tokenizer's: nothing may be fixed to 101 and 102
        ids = [
            [library.convert_tokens_to_ids(entry) + move for entry in text] if text else None
            for text in (first, second)
        ]
        cls, sep = library.cls_token_id + move, library.sep_token_id + move
        given = f"first={ids[0]}, second={ids[1]}, cls={cls}, sep={sep}"
        got = call(answer, list(ids[0]), ids[1] and list(ids[1]), cls, sep, given=given)
        two = isinstance(got, list | tuple) and len(got) == 2 and all(hasattr(part, "__len__") for part in got)
        expect(two, f"Given {given}, two lists were expected, ids and types, but got {describe(got)}.")
        inputs, types = (part.tolist() if hasattr(part, "tolist") else list(part) for part in got)
        wanted = [i + move for i in encoded["input_ids"]]
        perhaps = ""
        if inputs.count(cls) > 1:
            perhaps = " There is one [CLS] only, at the very beginning."
        elif inputs.count(sep) < wanted.count(sep):
            perhaps = " A [SEP] is missing: each text ends with one, the last included."
        elif inputs.count(sep) > wanted.count(sep):
            perhaps = " There is one [SEP] too many. Two between the texts is RoBERTa's layout; a single text has one."
        expect(inputs == wanted, f"Given {given}, your ids {inputs} are not BERT's layout.{perhaps}")
        expect(
            len(types) == len(inputs),
            f"Given {given}, {len(inputs)} types were expected, one for each id, but got {len(types)}.",
        )
        perhaps = ""
        if second is not None and types.count(0) == len(first) + 1:
            perhaps = " The [SEP] that closes the first text belongs to it, and has its type."
        elif set(types) - {0, 1}:
            perhaps = " BERT has the types 0 and 1."
        elif second is not None and types and types[-1] == 0:
            perhaps = " The second text, with the [SEP] that closes it, has type 1."
        expect(types == encoded["token_type_ids"], f"Given {given}, your types {types} are not BERT's.{perhaps}")


@exercise("4.6")
def windows(answer):
    from transformers import BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    library = BertTokenizer(vocab={entry: index for index, entry in enumerate([*special, "a"])})
    draw = random.Random(5)
    cases = [(12, 8, 2), (6, 8, 2), (5, 8, 2), (7, 8, 2), (10, 8, 2), (1, 3, 0), (9, 5, 0), (40, 8, 5)]
    for _ in range(30):
        size = draw.randint(3, 14)
        cases.append((draw.randint(1, 50), size, draw.randint(0, size - 3)))
    for length, size, stride in cases:
        given = f"length={length}, max_length={size}, stride={stride}"
        got = call(answer, length, size, stride, given=given)
        expect(
            isinstance(got, list | tuple),
            f"Given {given}, a list of (start, end) was expected, but got {describe(got)}.",
        )
        pairs = all(isinstance(one, list | tuple) and len(one) == 2 for one in got)
        expect(pairs, f"Given {given}, every piece must be a (start, end), but got {describe(got)}.")
        got = [tuple(one) for one in got]
        encoded = library(
            " ".join("a" * length),
            truncation=True,
            max_length=size,
            stride=stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        # one letter and one space a word: character 2 * n belongs to token n; (0, 0) is a special token's
        spans = [[span for span in offsets if span != (0, 0)] for offsets in encoded["offset_mapping"]]
        wanted = [(span[0][0] // 2, span[-1][0] // 2 + 1) for span in spans]
        perhaps = ""
        room = size - 2
        if got and got[0][1] != wanted[0][1]:
            perhaps = " Look at the first piece: special tokens need room too, and a piece ends where the text ends."
        elif got[: len(wanted)] == wanted:
            perhaps = " Perhaps you went on after a piece had reached the end of the text."
        elif len(got) > 1 and stride and got[1][0] == room:
            perhaps = (
                " Your pieces share nothing. Each one begins again with the last `stride` tokens of the one before."
            )
        elif len(got) > 1 and got[1][0] == stride:
            perhaps = " Here stride is how many tokens two pieces share, not how far the start moves."
        elif any(end > length for _, end in got):
            perhaps = " A piece can't end behind the text."
        elif len(got) < len(wanted):
            perhaps = " The text does not end there. Perhaps you dropped the last, shorter piece."
        expect(
            got == wanted, f"Given {given}, your {len(got)} pieces {describe(got)} are not the tokenizer's.{perhaps}"
        )


@exercise("4.7")
def tokens_of_span(answer):
    draw = random.Random(6)
    example = [(0, 0), (0, 4), (5, 10), (10, 14), (14, 15), (0, 0)]
    cases = [(example, *span) for span in ((8, 12), (0, 4), (0, 1), (4, 5), (10, 12), (0, 15), (6, 7))]
    for _ in range(40):
        offsets, place = [(0, 0)], 0
        for _ in range(draw.randint(1, 10)):
            place += draw.randint(0, 2)
            size = draw.randint(1, 6)
            offsets.append((place, place + size))
            place += size
        start = draw.randint(0, place - 1)
        cases.append(([*offsets, (0, 0)], start, draw.randint(start + 1, place)))
    for offsets, start, end in cases:
        given = f"the offsets {describe(offsets)} and the span from {start} to {end}"
        got = call(answer, list(offsets), start, end, given=given)
        listed = isinstance(got, list | tuple | range) or hasattr(got, "tolist")
        expect(listed, f"Given {given}, a list of indices was expected, but got {describe(got)}.")
        got = [int(index) for index in got]
        inside = set(range(start, end))
        wanted = [index for index, (first, last) in enumerate(offsets) if inside & set(range(first, last))]
        perhaps = ""
        if any(offsets[index] == (0, 0) for index in got if 0 <= index < len(offsets)):
            perhaps = " A special token covers no character: leave it out."
        elif set(got) - set(wanted):
            perhaps = " A token that ends where the span starts, or starts where it ends, shares no character with it."
        elif set(wanted) - set(got):
            perhaps = " A token that is only partly in the span belongs to it, and so does the last one."
        elif sorted(got) == wanted:
            perhaps = " The indices should come in the order of the tokens, each once."
        expect(
            got == wanted,
            f"Given {given}, your tokens {got} are not those that share a character with the span.{perhaps}",
        )

"""Chapter 04: what learners get wrong, and what they are told."""

from collections import Counter


def _pairs_once(words):
    return Counter(pair for symbols in words for pair in zip(symbols, symbols[1:], strict=False))


def _pairs_set(words):
    found = Counter()
    for symbols, count in words.items():
        for pair in set(zip(symbols, symbols[1:], strict=False)):
            found[pair] += count
    return found


def _pairs_replaced(words):
    return {pair: count for symbols, count in words.items() for pair in zip(symbols, symbols[1:], strict=False)}


def _pairs_joined(words):
    found = Counter()
    for symbols, count in words.items():
        for left, right in zip(symbols, symbols[1:], strict=False):
            found[left + right] += count
    return found


def _pairs_without_last(words):
    found = Counter()
    for symbols, count in words.items():
        for place in range(len(symbols) - 2):
            found[symbols[place], symbols[place + 1]] += count
    return found


def _merge_first(word, pair):
    for place in range(len(word) - 1):
        if (word[place], word[place + 1]) == pair:
            return [*word[:place], "".join(pair), *word[place + 2 :]]
    return word


def _merge_overlapping(word, pair):
    merged = [word[0]] if word else []
    for symbol in word[1:]:
        if merged[-1].endswith(pair[0]) and symbol == pair[1]:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def _merge_steps_by_two(word, pair):
    merged, place = [], 0
    while place < len(word):
        if tuple(word[place : place + 2]) == pair:
            merged.append("".join(pair))
        else:
            merged += word[place : place + 2]
        place += 2
    return merged


def _merge_in_place(word, pair):
    place = 0
    while place < len(word) - 1:
        if (word[place], word[place + 1]) == pair:
            word[place : place + 2] = ["".join(pair)]
        place += 1


def _replay(word, merges):
    symbols = list(word)
    for left, right in merges:
        place = 0
        while place < len(symbols) - 1:
            if (symbols[place], symbols[place + 1]) == (left, right):
                symbols[place : place + 2] = [left + right]
            place += 1
    return symbols


def _longest_match(word, merges):
    vocab, found = {"".join(pair) for pair in merges}, []
    while word:
        size = next((size for size in range(len(word), 1, -1) if word[:size] in vocab), 1)
        found.append(word[:size])
        word = word[size:]
    return found


def _merges_once(word, merges):
    symbols = list(word)
    for pair in merges:
        symbols = _merge_first(symbols, tuple(pair))
    return symbols


def _only_the_example(word, merges):
    return ["h", "ugs"] if word == "hugs" else list(word)


def _pieces(word, vocab, marks="##", shortest=False, unknown_at_end=False):
    found, begin = [], 0
    while begin < len(word):
        ends = range(begin + 1, len(word) + 1)
        for end in ends if shortest else reversed(ends):
            piece = (marks if begin else "") + word[begin:end]
            if piece in vocab:
                found.append(piece)
                begin = end
                break
        else:
            return [*found, "[UNK]"] if unknown_at_end else ["[UNK]"]
    return found


def _unmarked(word, vocab):
    return [piece.removeprefix("##") for piece in _pieces(word, vocab)]


def _pack(first, second, cls, sep, between=(), end=True, types=None):
    ids = [cls, *first, sep]
    if second is None:
        return ids, [0] * len(ids)
    both = [*ids, *between, *second, *([sep] if end else [])]
    zeros = len(ids) if types is None else len(ids) + types
    return both, [0] * zeros + [1] * (len(both) - zeros)


def _windows(length, room, step):
    found, start = [(0, min(room, length))], 0
    while found[-1][1] < length:
        start += max(step, 1)
        found.append((start, min(start + room, length)))
    return found


def _every_start(length, max_length, stride):
    room = max_length - 2
    return [(start, min(start + room, length)) for start in range(0, length, room - stride)]


def _without_rest(length, max_length, stride):
    room = max_length - 2
    if length <= room:
        return [(0, length)]
    return [(start, start + room) for start in range(0, length - room + 1, room - stride)]


def _touching(offsets, start, end):
    return [i for i, (first, last) in enumerate(offsets) if first <= end and last >= start and last]


def _contained(offsets, start, end):
    return [i for i, (first, last) in enumerate(offsets) if start <= first and last <= end and last]


def _with_special(offsets, start, end):
    return [i for i, (first, last) in enumerate(offsets) if first < end and last >= start]


WRONG = {
    "4.1": [
        (_pairs_once, "counted each word once"),
        (_pairs_set, "only once in a word"),
        (_pairs_replaced, "replaced the count"),
        (_pairs_joined, "a tuple of two symbols"),
        (_pairs_without_last, "first or the last pair"),
        (lambda words: list(words), "a dict was expected"),
    ],
    "4.2": [
        (_merge_first, "stopped after the first match"),
        (_merge_overlapping, "went into two merges"),
        (_merge_steps_by_two, "still stands there"),
        (_merge_in_place, "returned None"),
        (lambda word, pair: word, "Nothing was merged"),
        (lambda word, pair: "".join(word), "a list of strings"),
        (lambda word, pair: [symbol for symbol in word if symbol not in pair], "spells another word"),
    ],
    "4.3": [
        (_longest_match, "that is WordPiece"),
        (lambda word, merges: _replay(word, merges[::-1]), "from the last to the first"),
        (_merges_once, "first match only"),
        (_only_the_example, "left to merge"),
        (lambda word, merges: word, "a list of strings"),
        (lambda word, merges: _replay(word, sorted(merges)), "not what the merges give"),
    ],
    "4.4": [
        (lambda word, vocab: _pieces(word, vocab, marks=""), "without ##"),
        (lambda word, vocab: _pieces(word, vocab, shortest=True), "took short ones first"),
        (lambda word, vocab: _pieces(word, vocab, unknown_at_end=True), "without the pieces found so far"),
        (_unmarked, "not in the vocabulary"),
        (lambda word, vocab: word in vocab, "a list of strings"),
    ],
    "4.5": [
        (lambda first, second, cls, sep: _pack(first, second, cls, sep, between=(cls,)), "one [CLS] only"),
        (lambda first, second, cls, sep: _pack(first, second, cls, sep, end=False), "is missing"),
        (lambda first, second, cls, sep: _pack(first, second, cls, sep, between=(sep,)), "RoBERTa's layout"),
        (lambda first, second, cls, sep: _pack(first, second, cls, sep, types=-1), "belongs to it"),
        (lambda first, second, cls, sep: _pack(first, second or [], cls, sep), "one [SEP] too many"),
        (lambda first, second, cls, sep: _pack(first, second, cls, sep)[0], "two lists were expected"),
    ],
    "4.6": [
        (lambda length, max_length, stride: _windows(length, max_length, max_length - stride), "need room too"),
        (lambda length, max_length, stride: _windows(length, max_length - 2, max_length - 2), "share nothing"),
        (lambda length, max_length, stride: _windows(length, max_length - 2, stride), "not how far the start moves"),
        (_every_start, "reached the end of the text"),
        (_without_rest, "shorter piece"),
        (lambda length, max_length, stride: 3, "a list of (start, end)"),
    ],
    "4.7": [
        (_touching, "shares no character"),
        (_contained, "only partly"),
        (_with_special, "special token"),
        (lambda offsets, start, end: offsets.index((start, end)), "raised"),
        (lambda offsets, start, end: start, "a list of indices"),
    ],
}

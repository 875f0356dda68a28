"""Chapter 04: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

import re
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np


def count_with_counter(words):
    return Counter(pair for symbols, count in words.items() for pair in pairwise(symbols) for _ in range(count))


def count_with_defaultdict(words):
    found = defaultdict(int)
    for symbols in words:
        for place in range(len(symbols) - 1):
            found[symbols[place], symbols[place + 1]] += np.int64(words[symbols])
    return found


def count_joined(words):
    found = Counter()
    for symbols, count in words.items():
        for left, right in pairwise(symbols):
            found[left + right] += count
    return found


def count_across(words):
    everything = [symbol for symbols in words for symbol in symbols]
    return Counter(pairwise(everything))


def merge_recursively(word, pair):
    if len(word) < 2:
        return word
    if tuple(word[:2]) == pair:
        return ["".join(pair), *merge_recursively(word[2:], pair)]
    return [word[0], *merge_recursively(word[1:], pair)]


def merge_into_tuple(word, pair):
    merged = []
    for symbol in word:
        if merged and merged[-1] == (pair[0], False) and symbol == pair[1]:
            merged[-1] = ("".join(pair), True)
        else:
            merged.append((symbol, False))
    return tuple(symbol for symbol, _ in merged)


def merge_in_place(word, pair):
    place = 0
    while place < len(word) - 1:
        if (word[place], word[place + 1]) == pair:
            word[place : place + 2] = ["".join(pair)]
        place += 1
    return word


def replay(word, merges):
    symbols = list(word)
    for pair in merges:
        symbols = merge_recursively(symbols, pair)
    return symbols


def replay_as_text(word, merges):
    text = " " + " ".join(word) + " "
    for left, right in merges:
        text = re.sub(rf"(?<=\s){left} {right}(?=\s)", left + right, text)
    return tuple(text.split())


def spell_recursively(word, vocab, mark=""):
    if not word:
        return []
    for size in range(len(word), 0, -1):
        if mark + word[:size] in vocab:
            rest = spell_recursively(word[size:], vocab, "##")
            return ["[UNK]"] if rest == ["[UNK]"] else [mark + word[:size], *rest]
    return ["[UNK]"]


def spell_from_the_vocabulary(word, vocab):
    found, rest = [], word
    while rest:
        mark = "##" if found else ""
        fitting = [entry for entry in vocab if rest.startswith(entry.removeprefix(mark)) and entry.startswith(mark)]
        fitting = [entry for entry in fitting if mark or not entry.startswith("##")]
        if not fitting:
            return ("[UNK]",)
        found.append(max(fitting, key=len))
        rest = rest[len(found[-1]) - len(mark) :]
    return tuple(found)


def pack_in_arrays(first, second, cls, sep):
    ids = [cls, *first, sep] + ([] if second is None else [*second, sep])
    return [ids, [int(place > len(first) + 1) for place in range(len(ids))]]


def pack_step_by_step(first, second, cls, sep):
    ids = list(first)
    ids.insert(0, cls)
    ids.append(sep)
    types = [0 for _ in ids]
    for token in [] if second is None else [*second, sep]:
        ids.append(token)
        types.append(1)
    return ids, types


def pack_in_place(first, second, cls, sep):
    first.insert(0, cls)
    first.append(sep)
    rest = [] if second is None else [*second, sep]
    return first + rest, [0] * len(first) + [1] * len(rest)


def windows_by_formula(length, max_length, stride):
    room = max_length - 2
    step = room - stride
    count = max(0, -(-(length - room) // step)) + 1
    return tuple([k * step, min(k * step + room, length)] for k in range(count))


def windows_recursively(length, max_length, stride, start=0):
    end = start + max_length - 2
    if end >= length:
        return [(start, length)]
    return [(start, end), *windows_recursively(length, max_length, stride, end - stride)]


def overlap_by_sets(offsets, start, end):
    return [index for index, span in enumerate(offsets) if set(range(*span)) & set(range(start, end))]


def overlap_with_numpy(offsets, start, end):
    first, last = np.array(offsets).T
    return list(np.flatnonzero((first < end) & (last > start)))


RIGHT = {
    "4.1": [count_with_counter, count_with_defaultdict],
    "4.2": [merge_recursively, merge_into_tuple],
    "4.3": [replay, replay_as_text],
    "4.4": [spell_recursively, spell_from_the_vocabulary],
    "4.5": [pack_in_arrays, pack_step_by_step],
    "4.6": [windows_by_formula, windows_recursively],
    "4.7": [overlap_by_sets, overlap_with_numpy],
}

WRONG = {
    "4.1": [
        (count_joined, "a tuple of two symbols"),
        (count_across, "not neighbouring in one word"),
        (lambda words: list(words), "a dict was expected"),
    ],
    "4.2": [
        (merge_in_place, "changed word"),
        (lambda word, pair: "".join(word), "a list of str"),
        (lambda word, pair: [symbol for symbol in word if symbol not in pair], "spells another word"),
    ],
    "4.3": [
        (lambda word, merges: ["h", "ugs"] if word == "hugs" else list(word), "left to merge"),
        (lambda word, merges: replay(word, sorted(merges)), "not what the merges give"),
        (lambda word, merges: word, "a list of str"),
    ],
    "4.4": [
        (lambda word, vocab: list(word), "not in the vocabulary"),
        (lambda word, vocab: word in vocab, "a list of str"),
    ],
    "4.5": [
        (pack_in_place, "changed first"),
        (lambda first, second, cls, sep: [cls, *first, sep], "things came back"),
    ],
    "4.6": [(lambda length, max_length, stride: 3, "a list of (start, end)")],
    "4.7": [
        (lambda offsets, start, end: overlap_by_sets(offsets, start, end)[::-1], "in the order of the tokens"),
        (lambda offsets, start, end: offsets.index((start, end)), "raised ValueError"),
        (lambda offsets, start, end: start, "a list of indices"),
    ],
}

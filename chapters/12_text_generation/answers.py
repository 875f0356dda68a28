"""Chapter 12: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

import heapq
from collections import Counter
from math import prod

import numpy as np
import torch


def chatml_joined(messages, add_generation_prompt):
    blocks = ["<|im_start|>" + one["role"] + "\n" + one["content"] + "<|im_end|>\n" for one in messages]
    return "".join(blocks + ["<|im_start|>assistant\n"] * add_generation_prompt)


def chatml_recursively(messages, add_generation_prompt):
    if not messages:
        return "<|im_start|>assistant\n" if add_generation_prompt else ""
    role, content = messages[0]["role"], messages[0]["content"]
    head = f"<|im_start|>{role}\n{content}<|im_end|>\n"
    return head + chatml_recursively(messages[1:], add_generation_prompt)


def chatml_in_place(messages, add_generation_prompt):
    if add_generation_prompt:
        messages.append({"role": "assistant", "content": ""})
    return chatml_joined(messages, False)


def nucleus_in_a_loop(probabilities, top_p):
    left, found = probabilities.clone(), []
    while sum(probabilities[one].item() for one in found) < top_p:
        found.append(int(left.argmax()))
        left[found[-1]] = -1
    return found


def nucleus_with_numpy(probabilities, top_p):
    order = np.argsort(-probabilities.numpy(), kind="stable")
    reached = np.cumsum(probabilities.numpy()[order])
    return tuple(order[: np.searchsorted(reached, top_p) + 1])


def beam_step_with_topk(totals, scores, width):
    grown = torch.tensor(totals)[:, None] + scores
    best = grown.flatten().topk(min(width, grown.numel()))
    columns = scores.shape[1]
    return [
        (value.item(), (place // columns).item(), (place % columns).item()) for value, place in zip(*best, strict=True)
    ]


def beam_step_with_a_heap(totals, scores, width):
    children = (
        [total + one, parent, token]
        for parent, (total, row) in enumerate(zip(totals, scores.tolist(), strict=True))
        for token, one in enumerate(row)
    )
    return tuple(heapq.nlargest(width, children))


def cache_by_shape(config, tokens, batch, bytes_per_number):
    shape = (2, config.num_hidden_layers, batch, config.num_key_value_heads, tokens, config.head_dim)
    return prod(shape) * bytes_per_number


def cache_with_numpy(config, tokens, batch, bytes_per_number):
    keys = np.zeros((batch, config.num_key_value_heads, tokens, config.head_dim), dtype=np.int8)
    return np.int64(2 * keys.nbytes * bytes_per_number * config.num_hidden_layers)


def log_probability_in_loops(scores, tokens, eos):
    totals = []
    for row in range(len(tokens)):
        total = 0.0
        for step, token in enumerate(tokens[row]):
            total = total + scores[step][row].log_softmax(-1)[token]
            if token == eos:
                break
        totals.append(total)
    return torch.stack(totals)


def log_probability_by_loss(scores, tokens, eos):
    logits = torch.stack(list(scores), dim=-1)  # [texts, vocabulary, steps]
    loss = torch.nn.functional.cross_entropy(logits, tokens, reduction="none")
    before = torch.cat([torch.zeros_like(tokens[:, :1]), (tokens == eos).long().cumsum(1)[:, :-1]], dim=1)
    return -(loss * (before == 0)).sum(1).numpy()


def forbidden_by_text(written, words):
    end = " ".join(["", *map(str, written), ""])
    return {word[-1] for word in words if end.endswith(" ".join(["", *map(str, word[:-1]), ""]))}


def forbidden_reversed(written, words):
    def met(word):
        past = written[::-1]
        return len(past) >= len(word) - 1 and all(one == two for one, two in zip(word[-2::-1], past, strict=False))

    return frozenset(word[-1] for word in words if len(word) == 1 or met(word))


def digits_by_addition(scores, tokens, eos):
    closed = [0.0 if set(token) <= set("0123456789") and token else -torch.inf for token in tokens]
    closed[eos] = 0.0
    return scores + torch.tensor(closed)


def digits_into_a_new_one(scores, tokens, eos):
    out = torch.full_like(scores, float("-inf"))
    for number, token in enumerate(tokens):
        if number == eos or (token and all("0" <= one <= "9" for one in token)):
            out[:, number] = scores[:, number]
    return out.numpy()


def digits_in_place(scores, tokens, eos):
    for number, token in enumerate(tokens):
        if number != eos and not (token.isascii() and token.isdigit()):
            scores[:, number] = -torch.inf
    return scores


def distinct_with_counter(texts, size):
    found = Counter(piece for text in texts for piece in zip(*(text[shift:] for shift in range(size)), strict=False))
    return len(found) / found.total() if found else 0.0


def distinct_as_strings(texts, size):
    found = [" ".join(text[place : place + size]) for text in texts for place in range(max(0, len(text) - size + 1))]
    return np.float64(len(np.unique(found)) / max(1, len(found)))


RIGHT = {
    "12.1": [chatml_joined, chatml_recursively],
    "12.2": [nucleus_in_a_loop, nucleus_with_numpy],
    "12.3": [beam_step_with_topk, beam_step_with_a_heap],
    "12.4": [cache_by_shape, cache_with_numpy],
    "12.5": [log_probability_in_loops, log_probability_by_loss],
    "12.6": [forbidden_by_text, forbidden_reversed],
    "12.7": [digits_by_addition, digits_into_a_new_one],
    "12.8": [distinct_with_counter, distinct_as_strings],
}

WRONG = {
    "12.1": [
        (chatml_in_place, "changed messages"),
        (lambda messages, add_generation_prompt: [chatml_joined(messages, add_generation_prompt)], "a string"),
    ],
    "12.2": [
        (lambda probabilities, top_p: probabilities.sort(descending=True).values.tolist(), "a list of ids"),
        (lambda probabilities, top_p: probabilities > top_p, "a list of ids"),
    ],
    "12.3": [
        (
            lambda totals, scores, width: [one[1:] for one in beam_step_with_topk(totals, scores, width)],
            "(total, parent",
        ),
        (lambda totals, scores, width: scores.flatten().topk(width), "a list of tuples"),
    ],
    "12.4": [(lambda config, tokens, batch, size: f"{tokens} tokens", "a whole number was expected")],
    "12.5": [
        (lambda scores, tokens, eos: [list(step) for step in scores], "a tensor was expected"),
        (lambda scores, tokens, eos: torch.zeros(len(tokens), 2), "of shape"),
    ],
    "12.6": [
        (lambda written, words: [5], "a set of ids"),
        (lambda written, words: {word[-1] for word in words if written[-1] == word[-2]}, "raised IndexError"),
    ],
    "12.7": [
        (digits_in_place, "changed scores"),
        (lambda scores, tokens, eos: [token.isdigit() for token in tokens], "of shape"),
    ],
    "12.8": [
        (lambda texts, size: len({tuple(text) for text in texts}), "is not that of the different n-grams"),
        (lambda texts, size: "0.5", "a number was expected"),
    ],
}

"""Chapter 06: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

import math

import numpy as np
import torch
from torch.nn import functional as F


def norm_with_var_mean(x, weight, bias, eps):
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return torch.addcmul(bias, (x - mean) * torch.rsqrt(variance + eps), weight)


def norm_in_numpy(x, weight, bias, eps):
    x, weight, bias = (tensor.numpy().astype(np.float64) for tensor in (x, weight, bias))
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps) * weight + bias


def norm_row_by_row(x, weight, bias, eps):
    rows = x.reshape(-1, x.shape[-1])
    done = [(row - row.mean()) / (row.var(unbiased=False) + eps).sqrt() * weight + bias for row in rows]
    return torch.stack(done).reshape(x.shape)


def norm_without_keepdim(x, weight, bias, eps):
    return (x - x.mean(-1)) / (x.var(-1, unbiased=False) + eps).sqrt() * weight + bias


def norm_in_place(x, weight, bias, eps):
    x -= x.mean(dim=-1, keepdim=True)
    return x / (x.pow(2).mean(dim=-1, keepdim=True) + eps).sqrt() * weight + bias


def mask_for_each_query(attention_mask, dtype):
    texts, tokens = attention_mask.shape
    allowed = attention_mask.bool().view(texts, 1, 1, tokens).expand(texts, 1, tokens, tokens)
    return torch.where(allowed, 0.0, torch.finfo(dtype).min).to(dtype)


def mask_in_a_loop(attention_mask, dtype):
    low = torch.finfo(dtype).min
    return torch.tensor([[[[0 if one else low for one in row]]] for row in attention_mask.tolist()], dtype=dtype)


def shares_by_einsum(context, weight):
    return torch.einsum("bhts,whs->bhtw", context, weight.view(len(weight), context.shape[1], -1))


def shares_head_by_head(context, weight):
    size = context.shape[-1]
    found = [context[:, h] @ weight[:, h * size : (h + 1) * size].T for h in range(context.shape[1])]
    return torch.stack(found, dim=1).tolist()


def shares_by_silence(context, weight):
    """Each head's share is the layer's output with all the others at 0."""
    only = torch.eye(context.shape[1])[:, None, :, None, None] * context  # [heads, texts, heads, tokens, size]
    return (only.transpose(2, 3).flatten(3) @ weight.T).transpose(0, 1)


def curve_by_cases(x, approximate):
    if not approximate:
        return x * torch.special.ndtr(x)
    return x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))


def curve_number_by_number(x, approximate):
    def one(v):
        inner = math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)
        return 0.5 * v * (1 + (math.tanh(inner) if approximate else math.erf(v / math.sqrt(2))))

    return np.reshape([one(v) for v in x.flatten().tolist()], tuple(x.shape))


def calls_by_pre_hooks(model, kind, **inputs):
    calls, handles = {}, []

    def count(module, given):
        calls[module] = calls.get(module, 0) + 1

    try:
        for _, module in model.named_modules():
            if isinstance(module, kind):
                handles.append(module.register_forward_pre_hook(count))
        model(**inputs)
    finally:
        [handle.remove() for handle in handles]
    return sum(calls.values())


def calls_by_a_global_hook(model, kind, **inputs):
    total = 0

    def count(module, given, result):
        nonlocal total
        total += isinstance(module, kind)

    handle = torch.nn.modules.module.register_module_forward_hook(count)
    model(**inputs)
    handle.remove()
    return np.int64(total)


def calls_with_a_hook_for_all_left(model, kind, **inputs):
    seen = []
    torch.nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(isinstance(module, kind)))
    model(**inputs)
    return sum(seen)


def calls_with_hooks_left(model, kind, **inputs):
    seen = []
    for module in model.modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda *_: seen.append(1))
    model(**inputs)
    return len(seen)


def chunks_by_narrow(function, x, size, dim):
    size, found = size or x.shape[dim], []
    for start in range(0, x.shape[dim], size):
        found.append(function(x.narrow(dim, start, min(size, x.shape[dim] - start))))
    return torch.concat(found, dim)


def chunks_recursively(function, x, size, dim):
    if size == 0 or x.shape[dim] <= size:
        return function(x)
    head, tail = x.tensor_split([size], dim)
    return torch.cat([function(head), chunks_recursively(function, tail, size, dim)], dim)


def rows_in_a_loop(heads, size):
    found = set()
    for head in heads:
        found.update(range(head * size, head * size + size))
    return torch.tensor(sorted(found), dtype=torch.int32)


def rows_by_a_mask(heads, size):
    kept = torch.zeros(max(heads) + 1, size, dtype=torch.bool)
    kept[heads] = True
    return kept.flatten().nonzero().squeeze(1)


def rows_as_they_come(heads, size):
    return torch.tensor([head * size + place for head in heads for place in range(size)])


def mask_with_bernoulli(ids, special, mask_id, vocab_size):
    chosen = torch.bernoulli(torch.full(ids.shape, 0.15)).bool() & ~special
    inputs, labels = ids.clone(), torch.where(chosen, ids, -100)
    masked = torch.bernoulli(torch.full(ids.shape, 0.8)).bool() & chosen
    swapped = torch.bernoulli(torch.full(ids.shape, 0.5)).bool() & chosen & ~masked
    inputs[masked] = mask_id
    inputs[swapped] = torch.randint(vocab_size, ids.shape)[swapped]
    return [inputs, labels]


def mask_by_one_draw(ids, special, mask_id, vocab_size):
    draw = torch.rand(ids.shape).masked_fill(special, 1.0)
    anything = torch.randint_like(ids, vocab_size)
    inputs = torch.where(draw < 0.12, mask_id, torch.where(draw < 0.135, anything, ids))
    return inputs, ids.masked_fill(draw >= 0.15, -100)


def mask_wrongly(ids, special, mask_id, vocab_size, rate=0.15, kept=0.8, random=0.9, late=False, use_special=True):
    chosen = torch.rand(ids.shape) < rate
    if use_special:
        chosen &= ~special
    fate, anything = torch.rand(ids.shape), torch.randint(vocab_size, ids.shape)
    inputs = torch.where(chosen & (fate < kept), mask_id, ids)
    inputs = torch.where(chosen & (fate >= random), anything, inputs)
    return inputs, (inputs if late else ids).masked_fill(~chosen, -100)


def mask_in_place(ids, special, mask_id, vocab_size):
    inputs, labels = mask_by_one_draw(ids, special, mask_id, vocab_size)
    ids.copy_(inputs)
    return ids, labels


def mask_one_random(ids, special, mask_id, vocab_size):
    inputs, labels = mask_by_one_draw(ids, special, mask_id, vocab_size)
    strange = (inputs != ids) & (inputs != mask_id)
    return inputs.masked_fill(strange, int(torch.randint(vocab_size, ()))), labels


def with_random_ids(make):
    def mask(ids, special, mask_id, vocab_size):
        draw = torch.rand(ids.shape).masked_fill(special, 1.0)
        inputs = torch.where((draw >= 0.12) & (draw < 0.135), make(ids, vocab_size), ids)
        return inputs.masked_fill(draw < 0.12, mask_id), ids.masked_fill(draw >= 0.15, -100)

    return mask


def mask_seeded(ids, special, mask_id, vocab_size):
    torch.manual_seed(0)
    return mask_by_one_draw(ids, special, mask_id, vocab_size)


def with_draw(draw):
    """A masking whose numbers between 0 and 1 come from `draw(ids, special)`."""

    def masking(ids, special, mask_id, vocab_size):
        chosen = draw(ids, special)
        fate = torch.rand(ids.shape)
        inputs = torch.where(chosen & (fate < 0.8), mask_id, ids)
        inputs = torch.where(chosen & (fate >= 0.9), torch.randint(vocab_size, ids.shape), inputs)
        return inputs, ids.masked_fill(~chosen, -100)

    return masking


def exactly_in_each_row(ids, special):
    order = torch.rand(ids.shape).masked_fill(special, 2.0).argsort(dim=1).argsort(dim=1)
    return order < ((~special).sum(dim=1, keepdim=True) * 0.15).round()


def exactly_in_all(ids, special):
    order = torch.rand(ids.shape).masked_fill(special, 2.0).flatten().argsort().argsort()
    return (order < int(0.15 * (~special).sum())).view(ids.shape)


def by_numpy(ids, special):
    return torch.from_numpy(np.random.rand(*ids.shape) < 0.15) & ~special


def loss_by_logsumexp(word_logits, next_logits, labels, follows):
    asked = labels >= 0
    chosen, answers = word_logits[asked], labels[asked]
    words = (chosen.logsumexp(dim=-1) - chosen[range(len(answers)), answers]).mean()
    pairs = (next_logits.logsumexp(dim=-1) - next_logits[range(len(follows)), follows]).mean()
    return float(words + pairs)


def loss_by_nll(word_logits, next_logits, labels, follows):
    words = F.nll_loss(F.log_softmax(word_logits, -1).flatten(0, 1), labels.flatten())
    return words + F.nll_loss(next_logits.log_softmax(dim=1), follows)


def loss_in_a_loop(word_logits, next_logits, labels, follows):
    def mean(rows, answers):
        found = []
        for row, answer in zip(rows, answers, strict=True):
            if answer != -100:
                shifted = row - row.max()
                found.append(shifted.exp().sum().log() - shifted[answer])
        return sum(found) / len(found)

    return mean(word_logits.flatten(0, 1), labels.flatten()) + mean(next_logits, follows)


def loss_by_library(word_logits, next_logits, labels, follows):
    return F.cross_entropy(word_logits.flatten(0, 1), labels.flatten()) + F.cross_entropy(next_logits, follows)


def loss_with_a_crumb(word_logits, next_logits, labels, follows):
    asked = labels >= 0
    share = word_logits[asked].softmax(-1).gather(1, labels[asked][:, None])
    pair = next_logits.softmax(-1).gather(1, follows[:, None])
    return -(share + 1e-9).log().mean() - (pair + 1e-9).log().mean()


RIGHT = {
    "6.1": [norm_with_var_mean, norm_in_numpy, norm_row_by_row],
    "6.2": [mask_for_each_query, mask_in_a_loop],
    "6.3": [shares_by_einsum, shares_head_by_head, shares_by_silence],
    "6.4": [curve_by_cases, curve_number_by_number],
    "6.5": [calls_by_pre_hooks, calls_by_a_global_hook],
    "6.6": [chunks_by_narrow, chunks_recursively],
    "6.7": [rows_in_a_loop, rows_by_a_mask],
    "6.8": [mask_with_bernoulli, mask_by_one_draw],
    "6.9": [loss_by_logsumexp, loss_by_nll, loss_in_a_loop],
}

WRONG = {
    "6.1": [
        (lambda x, weight, bias, eps: F.layer_norm(x, x.shape[-1:], weight, bias, eps), "uses layer_norm"),
        (norm_without_keepdim, "raised"),
        (norm_in_place, "changed x"),
        (lambda x, weight, bias, eps: x.mean(dim=-1), "The shape stays that of x"),
    ],
    "6.2": [
        (lambda mask, dtype: mask_in_a_loop(mask, dtype).transpose(2, 3), "The keys are the last dimension"),
        (lambda mask, dtype: mask_in_a_loop(mask, dtype)[:, 0, 0], "broadcasts over"),
        (lambda mask, dtype: mask_in_a_loop(mask, torch.float32), "was expected, but got torch.float32"),
        (lambda mask, dtype: mask[:, None, None, :].bool(), "can't be added"),
        (lambda mask, dtype: mask_in_a_loop(mask, dtype) / 2, "is not 0 where a key may be seen"),
        (lambda mask, dtype: mask_in_a_loop(mask, dtype).tolist(), "a tensor was expected"),
    ],
    "6.3": [
        (lambda context, weight: shares_by_einsum(context, weight) + 1, "not what the dense layer gives"),
        (lambda context, weight: shares_by_einsum(context, weight).roll(1, dims=1), "off by"),
        (lambda context, weight: context @ weight.T, "raised"),
    ],
    "6.4": [
        (lambda x, approximate: F.gelu(x), "uses gelu"),
        (lambda x, approximate: curve_by_cases(x, False), "swapped, or one of them is never used"),
        (lambda x, approximate: curve_by_cases(x, True), "swapped, or one of them is never used"),
        (lambda x, approximate: torch.tanh(x), "off by"),
    ],
    "6.5": [
        (calls_with_hooks_left, "still there"),
        (calls_with_a_hook_for_all_left, "still there"),
        (lambda model, kind, **inputs: model(**inputs), "a whole number"),
        (lambda model, kind, **inputs: torch.tensor(calls_by_pre_hooks(model, kind, **inputs)), "a whole number"),
        (lambda model, kind, **inputs: 7, "the count of calls is not 7"),
    ],
    "6.6": [
        (lambda function, x, size, dim: torch.cat([function(run) for run in x.split(size, dim)], dim), "raised"),
        (lambda function, x, size, dim: x, "never called"),
        (lambda function, x, size, dim: chunks_by_narrow(function, x, size, dim) * 2, "is not theirs"),
    ],
    "6.7": [
        (rows_as_they_come, "in another order"),
        (lambda heads, size: rows_as_they_come(sorted(heads), size), "named twice"),
        (lambda heads, size: rows_by_a_mask(heads, size).view(-1, size), "one dimension"),
        (lambda heads, size: rows_by_a_mask(heads, size).float(), "integers were expected"),
        (lambda heads, size: rows_by_a_mask(heads, size).tolist(), "a tensor was expected"),
    ],
    "6.8": [
        (lambda *inputs: mask_wrongly(*inputs, kept=1.0, random=2.0), "every chosen token became"),
        (lambda *inputs: mask_wrongly(*inputs, random=2.0), "random ids are missing"),
        (lambda *inputs: mask_wrongly(*inputs, random=0.8), "none stays"),
        (lambda *inputs: mask_wrongly(*inputs, random=0.98), "what the 80 % left"),
        (lambda *inputs: mask_wrongly(*inputs, kept=0.5, random=0.5), "80 % should be"),
        (lambda *inputs: mask_wrongly(*inputs, rate=0.8), "your function chose"),
        (lambda *inputs: mask_wrongly(*inputs, rate=0.0), "no token was chosen"),
        (lambda *inputs: mask_wrongly(*inputs, late=True), "taken too late"),
        (lambda *inputs: mask_wrongly(*inputs, use_special=False), "special tokens were chosen"),
        (lambda *inputs: mask_wrongly(*inputs[:3], 2 * inputs[3]), "must lie below"),
        (lambda *inputs: mask_by_one_draw(*inputs)[0], "a pair of tensors"),
        (lambda *inputs: [*mask_by_one_draw(*inputs), inputs[0]], "but got 3"),
        (lambda *inputs: [one.float() for one in mask_by_one_draw(*inputs)], "must hold integers"),
        (mask_in_place, "changed ids"),
        (mask_one_random, "nearly all the same"),
        (with_random_ids(lambda ids, words: ids.flip(0)), "tokens of the texts"),
        (with_random_ids(lambda ids, words: torch.randint(words, (len(ids), 1))), "of a text are the same"),
        (with_random_ids(lambda ids, words: torch.randint(words, (1, ids.shape[1]))), "of a column are the same"),
        (mask_seeded, "chose the same tokens"),
        (with_draw(exactly_in_each_row), "Perhaps you chose exactly 15 %"),
        (with_draw(exactly_in_all), "Perhaps you chose exactly 15 %"),
        (with_draw(by_numpy), "are not torch's"),
    ],
    "6.9": [
        (loss_by_library, "uses cross_entropy"),
        (loss_with_a_crumb, "not the sum of the two means"),
        (lambda w, n, labels, follows: n, "one number was expected"),
    ],
}

"""Chapter 06: what learners get wrong, and what they are told."""

import torch
from torch.nn import functional as F


def _norm(x, weight, bias, eps, dim=-1, unbiased=False, root=True):
    mean = x.mean(dim=dim, keepdim=True)
    spread = x.var(dim=dim, unbiased=unbiased, keepdim=True) + eps
    return (x - mean) / (spread.sqrt() if root else spread) * weight + bias


def _norm_without_keepdim(x, weight, bias, eps):
    return (x - x.mean(-1)) / (x.var(-1, unbiased=False) + eps).sqrt() * weight + bias


def _norm_eps_outside(x, weight, bias, eps):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True).sqrt() + eps) * weight + bias


def _norm_of_all(x, weight, bias, eps):
    return (x - x.mean()) / (x.var(unbiased=False) + eps).sqrt() * weight + bias


def _mask(attention_mask, dtype, low=None, keys=True, inverted=False):
    seen = attention_mask.to(torch.float64)
    seen = seen if inverted else 1 - seen
    low = torch.finfo(dtype).min if low is None else low
    shape = seen[:, None, None, :] if keys else seen[:, None, :, None]
    return torch.where(shape.bool(), low, 0.0).to(dtype)


def _shares_rows(context, weight):
    heads, size = context.shape[1], context.shape[3]
    return context @ weight.reshape(heads, size, -1)


def _shares_strided(context, weight):
    heads, size = context.shape[1], context.shape[3]
    return context @ weight.view(-1, size, heads).permute(2, 1, 0)


def _shares_summed(context, weight):
    return context.transpose(1, 2).flatten(2) @ weight.T


def _shares_divided(context, weight):
    heads, size = context.shape[1], context.shape[3]
    return context @ weight.view(-1, heads, size).permute(1, 2, 0) / heads


def _tanh_form(x, cube=3, bracket=True):
    root = (2 / torch.pi) ** 0.5
    inner = root * (x + 0.044715 * x**cube) if bracket else root * x + 0.044715 * x**cube
    return 0.5 * x * (1 + torch.tanh(inner))


def _exact(x):
    return F.gelu(x)


def _count_existing(model, kind, **inputs):
    model(**inputs)
    return sum(isinstance(module, kind) for module in model.modules())


def _count(model, kind, remove=True, exact=False, once=False, **inputs):
    seen, handles = [], []
    for module in model.modules():
        if type(module) is kind if exact else isinstance(module, kind):
            handles.append(module.register_forward_hook(lambda module, *_: seen.append(module)))
    model(**inputs)
    for handle in handles:
        if remove:
            handle.remove()
    return len(set(seen)) if once else len(seen)


def _count_children(model, kind, **inputs):
    seen, handles = [], []
    for module in model.children():
        if isinstance(module, kind):
            handles.append(module.register_forward_hook(lambda *_: seen.append(1)))
    model(**inputs)
    for handle in handles:
        handle.remove()
    return len(seen)


def _chunk_number(function, x, size, dim):
    return torch.cat([function(run) for run in x.chunk(size, dim)], dim) if size else function(x)


def _chunks_without_rest(function, x, size, dim):
    if not size:
        return function(x)
    runs = [run for run in x.split(size, dim) if run.shape[dim] == size or x.shape[dim] < size]
    return torch.cat([function(run) for run in runs], dim)


def _chunks_other_dim(function, x, size, dim):
    return torch.cat([function(run) for run in x.split(size, 0)], 0) if size else function(x)


def _chunks_stacked(function, x, size, dim):
    return torch.cat([function(run) for run in x.split(size, dim)][::-1], dim) if size else function(x)


def _rows(heads, size):
    rows = [head * size + place for head in heads for place in range(size)]
    return torch.tensor(rows, dtype=torch.long)


def _rows_strided(heads, size):
    kept = sorted(set(heads))
    return torch.tensor(sorted(head + place * (max(kept, default=0) + 1) for head in kept for place in range(size)))


def _rows_gone(heads, size):
    total = max(heads, default=0) + 1
    return torch.tensor([h * size + p for h in range(total) if h not in heads for p in range(size)], dtype=torch.long)


def _mask_tokens(ids, special, mask_id, vocab_size, rate=0.15, kept=0.8, random=0.9, late=False, use_special=True):
    chosen = torch.rand(ids.shape) < rate
    if use_special:
        chosen &= ~special
    fate, anything = torch.rand(ids.shape), torch.randint(vocab_size, ids.shape)
    inputs = torch.where(chosen & (fate < kept), mask_id, ids)
    inputs = torch.where(chosen & (fate >= random), anything, inputs)
    labels = (inputs if late else ids).masked_fill(~chosen, -100)
    return inputs, labels


def _mask_in_place(ids, special, mask_id, vocab_size):
    inputs, labels = _mask_tokens(ids, special, mask_id, vocab_size)
    ids.copy_(inputs)
    return ids, labels


def _mask_one_random(ids, special, mask_id, vocab_size):
    chosen = (torch.rand(ids.shape) < 0.15) & ~special
    fate = torch.rand(ids.shape)
    inputs = torch.where(chosen & (fate < 0.8), mask_id, ids)
    inputs = torch.where(chosen & (fate >= 0.9), int(torch.randint(vocab_size, ())), inputs)
    return inputs, ids.masked_fill(~chosen, -100)


def _mask_tenth_of_rest(ids, special, mask_id, vocab_size):
    return _mask_tokens(ids, special, mask_id, vocab_size, random=0.98)


def _mask_seeded(ids, special, mask_id, vocab_size):
    torch.manual_seed(0)
    return _mask_tokens(ids, special, mask_id, vocab_size)


def _word(word_logits, labels, reduction="mean"):
    return F.cross_entropy(word_logits.flatten(0, 1), labels.flatten(), reduction=reduction)


def _loss_over_all(word_logits, next_logits, labels, follows):
    return _word(word_logits, labels, "sum") / labels.numel() + F.cross_entropy(next_logits, follows)


def _loss_by_softmax(word_logits, next_logits, labels, follows):
    asked = labels >= 0
    right = word_logits[asked].softmax(-1).gather(1, labels[asked][:, None])
    return -right.log().mean() + F.cross_entropy(next_logits, follows)


WRONG = {
    "6.1": [
        (lambda x, weight, bias, eps: _norm(x, weight, bias, eps, unbiased=True), "minus one"),
        (lambda x, weight, bias, eps: _norm(x, weight, bias, eps, root=False), "not by its root"),
        (lambda x, weight, bias, eps: _norm(x, weight, 0, eps), "forgot the shift"),
        (lambda x, weight, bias, eps: _norm(x, 1, 0, eps), "the scale and the shift"),
        (lambda x, weight, bias, eps: _norm(x, weight, bias, eps, dim=0), "off by"),
        (_norm_without_keepdim, "raised"),
        (_norm_eps_outside, "outside the root"),
        (_norm_of_all, "each vector has its own mean"),
    ],
    "6.2": [
        (lambda mask, dtype: _mask(mask, dtype, low=-1e4), "the old −10,000"),
        (lambda mask, dtype: _mask(mask, dtype, low=float("-inf")), "infinity"),
        (lambda mask, dtype: _mask(mask, dtype, inverted=True), "wrong way round"),
        (lambda mask, dtype: _mask(mask, dtype, keys=False), "The keys are the last dimension"),
        (lambda mask, dtype: _mask(mask, dtype)[:, 0, 0], "broadcasts over"),
        (lambda mask, dtype: _mask(mask, torch.float32), "was expected, got torch.float32"),
        (lambda mask, dtype: mask[:, None, None, :].bool(), "can't be added"),
        (lambda mask, dtype: (1 - mask.to(dtype))[:, None, None, :] * float("-inf"), "infinity met a factor 0"),
    ],
    "6.3": [
        (_shares_rows, "off by"),
        (_shares_strided, "stand next to each other"),
        (_shares_summed, "one share for each head"),
        (_shares_divided, "not what the dense layer gives"),
        (lambda context, weight: context @ weight.T, "raised"),
    ],
    "6.4": [
        (lambda x, approximate: _exact(x), "swapped"),
        (lambda x, approximate: _tanh_form(x), "swapped"),
        (lambda x, approximate: _tanh_form(x) if approximate else 0.5 * (1 + torch.erf(x / 2**0.5)), "Φ(x) alone"),
        (lambda x, approximate: _tanh_form(x, cube=2) if approximate else _exact(x), "square"),
        (lambda x, approximate: _tanh_form(x, bracket=False) if approximate else _exact(x), "multiplies x only"),
        (lambda x, approximate: 0.5 * x * (1 + torch.erf(x)), "root of 2"),
        (lambda x, approximate: x.relu(), "this is ReLU"),
        (lambda x, approximate: 2 * _exact(x), "one half"),
    ],
    "6.5": [
        (_count_existing, "modules that exist"),
        (lambda model, kind, **inputs: _count(model, kind, remove=False, **inputs), "still there"),
        (lambda model, kind, **inputs: _count(model, kind, exact=True, **inputs), "A subclass counts too"),
        (lambda model, kind, **inputs: _count(model, kind, once=True, **inputs), "each called module once"),
        (_count_children, "the count of calls is not"),
        (lambda model, kind, **inputs: model(**inputs), "an integer was expected"),
    ],
    "6.6": [
        (_chunk_number, "number of chunks"),
        (_chunks_without_rest, "last, shorter run"),
        (_chunks_other_dim, "another dimension"),
        (_chunks_stacked, "another order"),
        (lambda function, x, size, dim: function(x), "at once"),
        (lambda function, x, size, dim: torch.cat([function(run) for run in x.split(size, dim)], dim), "raised"),
        (lambda function, x, size, dim: x, "never called"),
    ],
    "6.7": [
        (_rows, "in another order"),
        (lambda heads, size: _rows(sorted(heads), size), "named twice"),
        (lambda heads, size: torch.tensor(sorted(set(heads))), "each has several rows"),
        (_rows_strided, "stand next to each other"),
        (_rows_gone, "heads that go"),
        (lambda heads, size: _rows(sorted(set(heads)), size).view(-1, size), "one dimension"),
        (lambda heads, size: _rows(sorted(set(heads)), size).float(), "integers were expected"),
        (lambda heads, size: _rows(sorted(set(heads)), size).tolist(), "a tensor was expected"),
    ],
    "6.8": [
        (lambda *inputs: _mask_tokens(*inputs, kept=1.0, random=2.0), "every chosen token became"),
        (lambda *inputs: _mask_tokens(*inputs, random=2.0), "random ids are missing"),
        (lambda *inputs: _mask_tokens(*inputs, random=0.8), "none stays"),
        (lambda *inputs: _mask_tokens(*inputs, rate=0.8), "your function chose"),
        (lambda *inputs: _mask_tokens(*inputs, late=True), "taken too late"),
        (lambda *inputs: _mask_tokens(*inputs, use_special=False), "special tokens were chosen"),
        (lambda *inputs: _mask_tokens(*inputs)[0], "two tensors were expected"),
        (_mask_in_place, "changed `ids` itself"),
        (_mask_one_random, "nearly all the same"),
        (_mask_tenth_of_rest, "what the 80 % left"),
        (_mask_seeded, "the same tokens were chosen"),
    ],
    "6.9": [
        (_loss_over_all, "divided by all tokens"),
        (_loss_by_softmax, "log_softmax is safe"),
        (lambda w, n, labels, follows: _word(w, labels), "only the word loss"),
        (lambda w, n, labels, follows: (_word(w, labels) + F.cross_entropy(n, follows)) / 2, "BERT adds them"),
        (lambda w, n, labels, follows: _word(w, labels) + F.cross_entropy(n, 1 - follows), "swapped"),
        (lambda w, n, labels, follows: -_word(w, labels) - F.cross_entropy(n, follows), "sign is wrong"),
        (
            lambda w, n, labels, follows: _word(w, labels, "sum") + F.cross_entropy(n, follows, reduction="sum"),
            "where the mean is needed",
        ),
        (lambda w, n, labels, follows: n, "one number was expected"),
    ],
}

"""Chapter 14: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

import numpy as np
import torch


def step_bytes_by_parts(parameters, trained, moments, size):
    numbers = [parameters, trained] + [trained] * moments
    return sum(one * size for one in numbers)


def step_bytes_with_numpy(parameters, trained, moments, size):
    return np.int64(size) * np.array([parameters, trained, trained * moments]).sum()


def merge_by_sums(gradients, counts):
    sums = [gradient * count for gradient, count in zip(gradients, counts, strict=True) if count]
    return torch.stack(sums).sum(dim=0) / sum(counts)


def merge_with_numpy(gradients, counts):
    shares = np.array(counts) / np.sum(counts)
    table = np.nan_to_num(np.stack([one.numpy() for one in gradients]))
    return np.tensordot(shares, table, axes=1)


def merge_in_place(gradients, counts):
    for gradient, count in zip(gradients, counts, strict=True):
        gradient *= count
    return merge_by_sums(gradients, [1] * len(counts))


def scales_by_state(overflows, scale, interval):
    found = [scale]
    good = 0
    for overflow in overflows[:-1]:
        good = (good + 1) * (not overflow)
        found.append(found[-1] * (0.5 if overflow else 2.0 if good == interval else 1.0))
        good %= interval
    return tuple(found) if overflows else ()


def scales_recursively(overflows, scale, interval):
    def go(rest, scale, left):
        if not rest:
            return []
        if rest[0]:
            return [scale, *go(rest[1:], scale / 2, interval)]
        return [scale, *(go(rest[1:], scale * 2, interval) if left == 1 else go(rest[1:], scale, left - 1))]

    return go(list(overflows), scale, interval)


def scales_without_the_first(overflows, scale, interval):
    return scales_recursively([*overflows, False], scale, interval)[1:]


def rows_by_numpy(rows, world):
    return [piece.tolist() for piece in np.array_split(np.arange(rows), world)]


def rows_by_boundaries(rows, world):
    ends = [sum(1 + (rows - one - 1) // world for one in range(min(rank, rows))) for rank in range(world + 1)]
    return tuple(tuple(range(*pair)) for pair in zip(ends, ends[1:], strict=False))


def parts_by_index(x, first, second, world):
    size = len(first) // world
    found = []
    for rank in range(world):
        mine = slice(rank * size, (rank + 1) * size)
        found.append(torch.nn.functional.gelu(x @ first[mine].t()) @ second[:, mine].t())
    return found


def parts_by_view(x, first, second, world):
    ones = first.view(world, -1, first.shape[1])
    twos = second.view(len(second), world, -1).permute(1, 2, 0)
    return tuple(torch.nn.GELU()(x @ ones.transpose(1, 2)) @ twos)


def parts_cut_too_late(x, first, second, world):
    inner = torch.nn.functional.gelu(x @ first.T)
    return list((inner @ second.T).chunk(world, dim=1))


def timetable_by_slot(stages, pieces):
    table = [[None] * (stages + pieces - 1) for _ in range(stages)]
    for piece in range(pieces):
        for stage in range(stages):
            table[stage][piece + stage] = piece
    return table


def timetable_by_lists(stages, pieces):
    return tuple([None] * before + list(range(pieces)) + [None] * (stages - 1 - before) for before in range(stages))


def zero_by_cases(parameters, world, stage):
    return {
        0: 16 * parameters,
        1: 8 * parameters + 8 * parameters // world,
        2: 4 * parameters + 12 * parameters // world,
        3: 16 * parameters // world,
    }[stage]


def zero_in_a_loop(parameters, world, stage):
    total = 0
    for size, since in [(8, 1), (4, 2), (4, 3)]:
        total += size * parameters / (world if stage >= since else 1)
    return round(total)


def merge_by_einsum(weight, a, b, alpha):
    return weight + torch.einsum("or,ri->oi", b, a) * alpha / len(a)


def merge_by_ranks(weight, a, b, alpha):
    total = weight.clone()
    for row, column in zip(a, b.T, strict=True):
        total += torch.outer(column, row) * (alpha / a.size(0))
    return total.numpy()


def merge_weight_in_place(weight, a, b, alpha):
    weight += alpha / len(a) * (b @ a)
    return weight


RIGHT = {
    "14.1": [step_bytes_by_parts, step_bytes_with_numpy],
    "14.2": [merge_by_sums, merge_with_numpy],
    "14.3": [scales_by_state, scales_recursively],
    "14.4": [rows_by_numpy, rows_by_boundaries],
    "14.5": [parts_by_index, parts_by_view],
    "14.6": [timetable_by_slot, timetable_by_lists],
    "14.7": [zero_by_cases, zero_in_a_loop],
    "14.8": [merge_by_einsum, merge_by_ranks],
}

WRONG = {
    "14.1": [(lambda *given: float(step_bytes_by_parts(*given)) + 0.5, "a whole number")],
    "14.2": [
        (merge_in_place, "changed gradients"),
        (lambda gradients, counts: float(merge_by_sums(gradients, counts).sum()), "a result of shape"),
    ],
    "14.3": [
        (scales_without_the_first, "are not those that the steps use"),
        (lambda overflows, scale, interval: scales_recursively(overflows, scale, interval)[-1:], "one scale for each"),
    ],
    "14.4": [
        (lambda rows, world: rows_by_numpy(rows, world)[0], "lists of row numbers"),
        (lambda rows, world: [len(one) for one in rows_by_numpy(rows, world)], "lists of row numbers"),
    ],
    "14.5": [
        (parts_cut_too_late, "as large as the whole output"),
        (lambda *given: parts_by_index(*given)[0], "a list of tensors"),
        (lambda *given: parts_by_index(*given)[:1] + [None] * (given[3] - 1), "is to be a tensor"),
    ],
    "14.6": [(lambda stages, pieces: timetable_by_slot(stages, pieces)[0], "a list of rows")],
    "14.7": [(lambda *given: sum(divmod(zero_by_cases(*given), 3)), "are not what one process holds")],
    "14.8": [
        (merge_weight_in_place, "changed weight"),
        (lambda weight, a, b, alpha: b @ a, "off by"),
        (lambda weight, a, b, alpha: weight + alpha / len(a) * (a.T @ b.T).T[:1], "off by"),
    ],
}

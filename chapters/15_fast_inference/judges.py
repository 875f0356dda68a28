"""Chapter 15: percentiles, sorted batches, a fit, int8 rows, top-k agreement, the memory's limit, two queues."""

import math
import random
from functools import partial

from labs_utils.exercises.vocabulary import Trial, exercise

KEYS = ("p50", "p95", "best")


def percentile(ordered: list[float], share: float) -> float:
    """NumPy's percentile: linear between the two neighbours."""
    place = (len(ordered) - 1) * share / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def summed_up(times, warmup, keep: bool = False, scale: float = 1000, sort_first: bool = False, nearest: bool = False):
    """The summary; the options are ways of getting it wrong."""
    times = sorted(times) if sort_first else list(times)
    kept = sorted(scale * one for one in (times if keep else times[warmup:]))
    if nearest:
        return {"p50": kept[len(kept) // 2], "p95": kept[min(len(kept) - 1, int(len(kept) * 0.95))], "best": kept[0]}
    return {"p50": percentile(kept, 50), "p95": percentile(kept, 95), "best": kept[0]}


def averaged(times, warmup):
    return summed_up(times, warmup) | {"p50": 1000 * sum(times[warmup:]) / len(times[warmup:])}


def mistaken_tail(times, warmup):
    return summed_up(times, warmup) | {"p95": 1000 * percentile(sorted(times[warmup:]), 5)}


def values(result) -> list[float]:
    return [float(result[key]) for key in KEYS]  # a list that mixes float and np.float64 would become float32


@exercise(
    "15.1",
    mistakes=[
        ("The first `warmup` times don't count.", partial(summed_up, keep=True)),
        ("Milliseconds were asked for.", partial(summed_up, scale=1)),
        (
            "The warm-up is the first calls, not the fastest: drop them before you sort.",
            partial(summed_up, sort_first=True),
        ),
        ("p50 is the median, not the mean.", averaged),
        ("p95 is the time that 95 of 100 calls keep, so it is a high one.", mistaken_tail),
        ("A percentile between two times is interpolated, as NumPy does.", partial(summed_up, nearest=True)),
        (
            "`best` is the smallest time.",
            lambda times, warmup: summed_up(times, warmup) | {"best": 1000 * max(times[warmup:])},
        ),
        (
            "The warm-up may hold the smallest time: it doesn't count for `best` either.",
            lambda times, warmup: summed_up(times, warmup) | {"best": 1000 * min(times)},
        ),
    ],
)
def summary(answer):
    draw = random.Random(1)
    cases = [([9.0, 0.001, 0.003], 1)]
    for _ in range(12):
        warmup = draw.randint(1, 4)
        times = [draw.uniform(0.5, 2) for _ in range(warmup)]
        cases.append((times + [draw.uniform(0.01, 0.4) for _ in range(draw.randint(2, 30))], warmup))
    cases.append(([0.3, 0.1, 0.2], 0))
    cases.append(([5.0, 0.25], 1))
    cases.append(([0.02, 0.4, 0.3, 0.5], 1))  # a first call may be the fastest, and still doesn't count
    for times, warmup in cases:
        trial = Trial(answer, times, warmup)
        got = trial.returns(dict)
        trial.expect(
            set(got) == set(KEYS),
            f"a dict with the keys p50, p95 and best was expected, but got {sorted(map(str, got))}",
        )
        for key in KEYS:
            number = isinstance(got[key], int | float) or getattr(got[key], "ndim", None) == 0  # a tensor of one number
            trial.expect(number, f"{key} should be a number")
        # numbers below 2,000: rounding is near 1e-12 in float64, near 1e-4 in float32
        trial.close(
            values(got),
            values(summed_up(times, warmup)),
            1e-3,
            "your numbers (p50, p95, best) are off by up to {off}",
            form=values,
        )


def served(texts, size, run, sort: bool = True, restore: bool = True, down: bool = False, whole: bool = False):
    """Sorted, batched, restored; the options are ways of getting it wrong."""
    order = (
        sorted(range(len(texts)), key=lambda place: (-1 if down else 1) * len(texts[place]))
        if sort
        else range(len(texts))
    )
    order, found = list(order), []
    step = max(1, len(order)) if whole else size
    for start in range(0, len(order), step):
        found += run([texts[place] for place in order[start : start + step]])
    if not restore:
        return found
    answers = [None] * len(texts)
    for place, one in zip(order, found, strict=True):
        answers[place] = one
    return answers


def permuted(texts, size, run):
    """The classic slip: `found[place]` instead of putting `found` to `place`."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    found = served(texts, size, run, restore=False)
    return [found[place] for place in order]


class Recorder:
    """A model that joins the words of a text, and keeps the batches that it was given."""

    def __init__(self):
        self.calls: list[list[list[str]]] = []

    def __call__(self, batch):
        self.calls.append([list(text) for text in batch])
        return ["".join(text) for text in batch]

    def __repr__(self) -> str:
        return "a model that joins the words"


@exercise(
    "15.2",
    mistakes=[
        ("The answers are in the sorted order: put each back to its text's place.", partial(served, restore=False)),
        (
            "The answers are permuted the wrong way round: the first answer belongs to the place of the shortest text.",
            permuted,
        ),
        (
            "Perhaps you handed the places over instead of the answers.",
            lambda texts, size, run: list(range(len(texts))),
        ),
    ],
)
def by_length(answer):
    draw = random.Random(2)
    cases = [([["a", "b"], ["c"], ["d", "e", "f"]], 2), ([], 3), ([["x"]], 4)]
    for case in range(12):
        texts = [[draw.choice("abcdefgh") for _ in range(draw.randint(0, 9))] for _ in range(draw.randint(2, 11))]
        cases.append((texts, case % 4 + 1))
    for texts, size in cases:
        recorder = Recorder()
        trial = Trial(answer, texts, size, recorder)
        got = trial.returns(list, "a list with one answer for each text")
        largest = max(map(len, recorder.calls), default=0)
        trial.expect(largest <= size, f"run got a batch of {largest} texts")
        trial.expect(all(recorder.calls), "run was called with an empty batch")
        trial.expect(texts or not recorder.calls, "there was nothing to run")
        wanted = Recorder()
        expected = served(texts, size, wanted)
        trial.equal(got, expected, "your answers {got} are not those of the texts in their order")
        longest = [[len(text) for text in batch] for batch in recorder.calls]
        right = [[len(text) for text in batch] for batch in wanted.calls]
        flat, ordered = sum(longest, []), sum(right, [])
        trial.expect(
            longest == right,
            f"run got batches with these lengths: {longest}",
            ("The shortest come first.", flat == ordered[::-1]),
            ("Sort before you cut into batches.", flat != ordered and sorted(flat) == ordered),
            ("Fill each batch before you begin the next.", flat == ordered),
        )
        same_texts = recorder.calls == wanted.calls
        trial.expect(same_texts, "texts of equal length went to run in another order than the one in which they came")


def solved(lengths, times, weigh: bool = True, degree: int = 2):
    """a, b, c by the normal equations, on lengths that are scaled to about 1."""
    import torch

    scale = max(lengths)
    rows = torch.tensor([[(one / scale) ** power for power in range(degree, -1, -1)] for one in lengths]).double()
    right = torch.tensor(times).double()
    if weigh:
        rows, right = rows / right[:, None], torch.ones_like(right)
    found = torch.linalg.lstsq(rows, right[:, None]).solution[:, 0].tolist()
    found = [0.0] * (2 - degree) + found
    return [one / scale**power for one, power in zip(found, (2, 1, 0), strict=True)]


def term_share(lengths, times, n, weigh: bool = True, part: str = "all", term: int = 0):
    """The share of one term; the options are ways of getting it wrong."""
    found = solved(lengths, times, weigh)
    terms = [found[0] * n**2, found[1] * n, found[2]]
    below = {"all": sum(terms), "two": terms[0] + terms[1], "one": 1.0, "linear": terms[1]}[part]
    return terms[term] / below


@exercise(
    "15.3",
    mistakes=[
        ("Weigh each length by 1 / time: else the longest decides alone.", partial(term_share, weigh=False)),
        ("That is the share of the linear term.", partial(term_share, term=1)),
        ("That is the share of the constant: polyfit gives the highest power first.", partial(term_share, term=2)),
        ("Perhaps you left the constant out of the whole.", partial(term_share, part="two")),
        ("That is the quadratic term itself: divide it by the fitted time.", partial(term_share, part="one")),
        ("That compares the quadratic with the linear term: the whole has three.", partial(term_share, part="linear")),
        (
            "Perhaps you took the share at the longest length.",
            lambda lengths, times, n: term_share(lengths, times, max(lengths)),
        ),
    ],
)
def quadratic_share(answer):
    draw = random.Random(3)
    lengths = [1, 2, 3, 4, 5, 8]
    cases = [(lengths, [2 * n**2 + 3.0 * n + 1 for n in lengths], 1)]
    for _ in range(10):
        lengths = sorted(draw.sample(range(2, 60), 7))
        a, b, c = draw.uniform(0.2, 2), draw.uniform(1, 20), draw.uniform(1, 30)
        times = [(a * n**2 + b * n + c) * draw.uniform(0.9, 1.1) for n in lengths]
        cases.append((lengths, times, draw.randint(3, 70)))
    for case in cases:
        trial = Trial(answer, *case)
        got = trial.returns(float)
        # two ways of solving the same least squares, with lengths below 100: they agree to about 1e-9
        trial.close(got, term_share(*case), 1e-5, "your share {got} is not that of the fitted quadratic term")


def in_eight(row, with_zero: bool = True, levels: int = 255, lowest: int = -128, cut: bool = False, back: bool = False):
    """The row in int8; the options are ways of getting it wrong."""
    import torch

    numbers = row.double()
    low, high = float(numbers.min()), float(numbers.max())
    if with_zero:
        low, high = min(0.0, low), max(0.0, high)
    scale = (high - low) / levels or 1.0
    zero = round(lowest - low / scale)
    steps = numbers / scale
    whole = (torch.trunc(steps) if cut else torch.round(steps)) + zero
    whole = whole.clamp(lowest, lowest + 255)
    return ((whole - zero) * scale if back else whole.to(torch.int8)), scale, zero


def symmetric(row):
    import torch

    scale = float(row.abs().max()) / 127 or 1.0
    return (row / scale).round().clamp(-128, 127).to(torch.int8), scale, 0


def unclamped(row):
    import torch

    _, scale, zero = in_eight(row)
    return (torch.round(row.double() / scale) + zero).to(torch.int8), scale, zero


def unshifted(row):
    import torch

    _, scale, zero = in_eight(row)
    return (row.double() / scale).round().clamp(-128, 127).to(torch.int8), scale, zero


def the_scale(result) -> float:
    return result[1]


def the_zero(result) -> int:
    return result[2]


def the_whole(result):
    return result[0]


@exercise(
    "15.4",
    mistakes=[
        ("The range holds 0 as well, so that 0 can be written exactly.", partial(in_eight, with_zero=False)),
        ("256 levels have 255 steps between them.", partial(in_eight, levels=256)),
        ("Rounding was asked for, not cutting off.", partial(in_eight, cut=True)),
        ("Perhaps you left the zero point out: that is the range on both sides of 0.", symmetric),
        ("Perhaps you forgot to add the zero point.", unshifted),
        ("Keep the whole numbers between -128 and 127: beyond, int8 begins anew at the other end.", unclamped),
        ("int8 begins at -128; 0 to 255 is uint8.", partial(in_eight, lowest=0)),
    ],
)
def quantize_row(answer):
    import torch

    rows = [
        torch.tensor([0.0, 1.0, 2.55]),
        torch.zeros(4),
        torch.tensor([0.5, 1.5, 3.0]),
        torch.tensor([-4.0, -1.0, -0.25]),
        torch.tensor([-1.5, 10.0, 253.5]),  # both ends lie on a half: without clamp the largest becomes 128, and -128
    ]
    for seed in range(10):
        row = torch.randn(24, generator=torch.Generator().manual_seed(seed)) * (1 + seed) / 4 + (seed % 3 - 1) * 0.8
        rows.append(row)
    for row in rows:
        trial = Trial(answer, row)
        got = trial.returns(tuple, "a tuple (whole, scale, zero)")
        trial.expect(len(got) == 3, f"a tuple of three was expected, but got {len(got)} values")
        whole, scale, zero = got
        is_tensor = type(whole) is torch.Tensor
        trial.expect(is_tensor, f"the first of the three is a tensor, but got {type(whole).__name__}")
        trial.expect(whole.dtype == torch.int8, f"the tensor has dtype {whole.dtype}, and torch.int8 was asked for",
                     ("int8 begins at -128.", whole.dtype == torch.uint8))  # fmt: skip
        trial.shape(whole, tuple(row.shape))
        expected, right, point = in_eight(row)
        trial.close(scale, right, 1e-5 * right, "your scale {got} is not one step", form=the_scale)
        try:
            near = abs(float(zero) - point)
        except (TypeError, ValueError):
            trial.refuse("the zero point should be a whole number")
        # float32 or float64 may fall on two sides of a half: one step is a rounding, two are not
        if near > 1:
            trial.equal(zero, point, "your zero point {got} does not stand for 0", form=the_zero)
        trial.expect(float(zero) == int(zero), "the zero point should be a whole number")
        off = (whole.long() - int(zero) - (expected.long() - point)).abs()
        edge = (whole.long() == 127) | (whole.long() == -128)
        bad = int((off > 1).sum()) + int(((off == 1) & ~edge).sum() > 2)
        if bad:
            trial.close(
                whole.double(), expected.double(), 0.5, "your whole numbers are off by up to {off}", form=the_whole
            )


def agreed(first, second, k, ordered: bool = False, per_row: bool = False, all_rows: bool = False, union: bool = False):
    """The agreement; the options are ways of getting it wrong."""
    found = []
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        best, others = (sorted(range(len(row)), key=lambda place, row=row: -row[place])[:k] for row in (one, other))
        if ordered:
            found.append(sum(a == b for a, b in zip(best, others, strict=True)) / k)
        elif union:
            found.append(len(set(best) & set(others)) / len(set(best) | set(others)))
        else:
            found.append(len(set(best) & set(others)) / k)
    if all_rows:
        return sum(one == 1 for one in found) / len(found)
    return sum(found) * k / len(found) if per_row else sum(found) / len(found)


def worst(first, second, k):
    return agreed(-first, -second, k)


@exercise(
    "15.5",
    mistakes=[
        ("The order among the best does not matter.", partial(agreed, ordered=True)),
        ("Divide by k: full agreement is 1.0.", partial(agreed, per_row=True)),
        ("A row may agree in part: count the common ones.", partial(agreed, all_rows=True)),
        ("Divide by k, not by the size of both sets together.", partial(agreed, union=True)),
        ("Perhaps you compared the lowest k.", worst),
        ("Perhaps you compared the best token only.", lambda first, second, k: agreed(first, second, 1)),
        ("Perhaps you looked at the first row only.", lambda first, second, k: agreed(first[:1], second[:1], k)),
    ],
)
def top_k_agreement(answer):
    import torch

    base = torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[2.0, 3.0, 1.0]])
    cases = [(*base, 2), (*base, 1)]
    for seed in range(12):
        dice = torch.Generator().manual_seed(seed)
        first = torch.randn(3 + seed % 3, 9, generator=dice)
        second = first + 0.9 * torch.randn(first.shape, generator=dice)
        cases.append((first, second, 2 + seed % 4))
    for case in cases:
        trial = Trial(answer, *case)
        got = trial.returns(float)
        # one division of whole numbers: only rounding is allowed
        trial.close(got, agreed(*case), 1e-6, "your agreement {got} is not the mean share of common tokens")


def limit(parameters, bits, bandwidth, batch, byte: float = 8, power: int = 1):
    return bandwidth / (parameters * bits / byte) * batch**power


def whole_bytes(parameters, bits, bandwidth, batch):
    return limit(parameters, 8 * max(1, bits // 8), bandwidth, batch)


@exercise(
    "15.6",
    mistakes=[
        ("Bits are not bytes: eight of them make one.", partial(limit, byte=1)),
        ("The weights are read once for a step, however many texts there are.", partial(limit, power=0)),
        ("A larger batch gives more tokens for the same reading.", partial(limit, power=-1)),
        ("That is the time of a step: tokens a second were asked for.", lambda *given: 1 / limit(*given[:3], 1)),
        ("Perhaps you rounded the bytes of a weight.", whole_bytes),
    ],
)
def most_tokens(answer):
    draw = random.Random(6)
    cases = [(1000, 16, 20_000.0, 1), (1000, 16, 20_000.0, 4)]
    for _ in range(12):
        bits = draw.choice([4, 4.5, 5, 8, 16, 32])
        cases.append((draw.randint(500, 90_000), bits, draw.uniform(1e5, 1e7), draw.randint(2, 9)))
    for case in cases:
        trial, expected = Trial(answer, *case), limit(*case)
        got = trial.returns(float)
        trial.close(
            got, expected, 1e-6 * expected, "your {got} tokens a second are not what reading the weights allows"
        )


def decided(waiting, room, per_second, patience, late: int = 429, full_at: int = 0, own: int = 1, up: bool = True,
            least: int = 1, order: str = "room", zero: bool = True, count: int = 0):  # fmt: skip
    """What to say to a request; the options are ways of getting it wrong."""
    seconds = (waiting + count) / per_second
    seconds = max(least, math.ceil(seconds) if up else round(seconds))
    full, slow = waiting >= room + full_at, (waiting + own) / per_second > patience
    told = [(full, 503), (slow, late)]
    for holds, status in told if order == "room" else reversed(told):
        if holds:
            return status, seconds
    return 200, 0 if zero else seconds


@exercise(
    "15.7",
    mistakes=[
        ("A queue is full when `room` requests wait, not one more.", partial(decided, full_at=1)),
        ("The new request has to be served, too: it is one more than those that wait.", partial(decided, own=0)),
        ("Retry-After is rounded up.", partial(decided, up=False)),
        ("Retry-After is at least 1.", partial(decided, least=0)),
        ("The full queue is looked at first: that is 503.", partial(decided, order="time")),
        ("Too late is 429; 503 is for a full queue.", partial(decided, late=503)),
        ("With 200 there is nothing to wait for: the second number is 0.", partial(decided, zero=False)),
        ("Retry-After is for those that wait now; the new one is not among them.", partial(decided, count=1)),
    ],
)
def admit(answer):
    draw = random.Random(7)
    cases = [(4, 4, 2.0, 60.0), (9, 20, 2.0, 3.0), (0, 4, 2.0, 60.0), (3, 4, 1.0, 60.0), (0, 8, 0.5, 1.0)]
    cases += [(9, 10, 2.0, 5.0), (9, 10, 2.0, 4.75), (5, 5, 4.0, 1.0), (4, 9, 4.0, 1.0), (1, 1, 10.0, 9.0)]
    for _ in range(25):
        cases.append(
            (draw.randint(0, 12), draw.randint(1, 12), draw.choice([0.5, 1.0, 2.0, 4.0, 8.0]), draw.uniform(0.1, 9))
        )
    for waiting, room, per_second, patience in cases:
        trial = Trial(answer, waiting, room, per_second, patience)
        got = trial.returns(tuple, "a tuple (status, seconds)", of=int)
        trial.expect(len(got) == 2, f"a tuple of two was expected, but got {len(got)} values")
        trial.equal(got, decided(waiting, room, per_second, patience), "your {got} is not what this server should say")


def grouped(arrivals, size, patience, strict: bool = False, rolling: bool = False, timeless: bool = False,
            endless: bool = False, more: int = 0):  # fmt: skip
    """The batches; the options are ways of getting it wrong."""
    found: list[list[int]] = []
    for number, moment in enumerate(arrivals):
        fits = bool(found) and (endless or len(found[-1]) < size + more)
        if fits and not timeless:
            passed = moment - arrivals[found[-1][-1 if rolling else 0]]
            fits = passed < patience if strict else passed <= patience
        if fits:
            found[-1].append(number)
        else:
            found.append([number])
    return found


def windows(arrivals, size, patience):
    """Fixed windows from time 0 on, cut by size."""
    found: dict[int, list[int]] = {}
    for number, moment in enumerate(arrivals):
        found.setdefault(int(moment // patience), []).append(number)
    return [one[start : start + size] for one in found.values() for start in range(0, len(one), size)]


@exercise(
    "15.8",
    mistakes=[
        ("What arrives exactly when the patience ends still gets in.", partial(grouped, strict=True)),
        ("The patience counts from the batch's first request, not from its latest.", partial(grouped, rolling=True)),
        ("Perhaps you looked at the size only: the patience may end sooner.", partial(grouped, timeless=True)),
        ("Perhaps you looked at the time only: a batch holds at most `size`.", partial(grouped, endless=True)),
        ("That is one request too many in a batch.", partial(grouped, more=1)),
        ("There is no clock that ticks by itself: a batch's time begins with its first request.", windows),
        ("The requests' numbers were asked for, not their times.",
         lambda arrivals, size, patience: [[arrivals[n] for n in one] for one in grouped(arrivals, size, patience)]),
    ],
)  # fmt: skip
def batches(answer):
    draw = random.Random(8)
    cases = [([0.0, 1.0, 2.0, 2.5, 9.0], 3, 2.0), ([0.0, 1.0, 2.0, 2.5, 9.0], 5, 2.0), ([], 3, 1.0), ([4.0], 1, 0.5)]
    for _ in range(20):
        # quarters of seconds are exact in binary, so that "exactly then" is no matter of rounding
        arrivals = sorted(draw.randint(0, 40) / 4 for _ in range(draw.randint(3, 14)))
        cases.append((arrivals, draw.randint(2, 5), draw.randint(2, 8) / 4))
    for arrivals, size, patience in cases:
        trial = Trial(answer, arrivals, size, patience)
        got = trial.returns(list, "a list of lists of numbers", of=list)
        trial.equal(got, grouped(arrivals, size, patience), "your batches {got} are not those of this batcher")

"""Chapter 14: a step's bytes, merged gradients, a loss scale, dealt rows, cut blocks, a timetable, ZeRO, LoRA."""

import random
from functools import partial

from labs_utils.exercises.vocabulary import Trial, exercise


def drawn(seed: int, *shape: int):
    """Seeded normal numbers of a shape."""
    import torch

    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def counted(parameters, trained, moments, size, gradients: int = 1) -> int:
    """Bytes of a step; `gradients` other than 1 are a way of getting it wrong."""
    return size * (parameters + trained * (gradients + moments))


@exercise(
    "14.1",
    mistakes=[
        ("Perhaps you left out the gradients.", partial(counted, gradients=0)),
        (
            "Only the trained parameters have gradients and moments.",
            lambda parameters, trained, moments, size: counted(parameters, parameters, moments, size),
        ),
        (
            "Frozen parameters are in memory, too.",
            lambda parameters, trained, moments, size: counted(trained, trained, moments, size),
        ),
        ("Perhaps you counted numbers, not bytes.", lambda *given: counted(*given[:3], 1)),
        (
            "Perhaps you counted one moment, whatever `moments` says.",
            lambda parameters, trained, moments, size: counted(parameters, trained, 1, size),
        ),
        (
            "Perhaps you left out the parameters themselves.",
            lambda parameters, trained, moments, size: counted(0, trained, moments, size),
        ),
        (
            "Each trained parameter has a gradient, and so it has with no moments.",
            lambda parameters, trained, moments, size: size * (parameters + trained * (moments + (moments > 0))),
        ),
    ],
)
def step_bytes(answer):
    draw = random.Random(14)
    cases = [(100, 10, 2, 4), (70, 30, 1, 2), (90, 0, 2, 4)]
    cases += [(draw.randint(200, 900), draw.randint(2, 190), draw.randint(1, 3), draw.choice([2, 4])) for _ in range(8)]
    cases += [(70, 20, 0, 4), (50, 50, 2, 4)]
    for case in cases:
        trial = Trial(answer, *case)
        trial.equal(trial.returns(int), counted(*case), "your {got} bytes are not what a step holds")


def weighted(gradients, counts, weigh=lambda count, total, many: count / total, skip: bool = True):
    """Merged gradients; the options are ways of getting it wrong."""
    import torch

    total, many, merged = sum(counts), sum(count > 0 for count in counts), torch.zeros_like(gradients[0])
    for gradient, count in zip(gradients, counts, strict=True):
        if count > 0 or not skip:
            merged = merged + gradient * weigh(count, total, many)
    return merged


@exercise(
    "14.2",
    mistakes=[
        (
            "Perhaps you took the plain mean over the processes: one with more tokens counts more.",
            lambda gradients, counts: weighted(gradients, counts, lambda count, total, many: 1 / many),
        ),
        (
            "Perhaps you divided by the number of processes, those without a token among them.",
            lambda gradients, counts: weighted(gradients, counts, lambda count, total, many: 1 / len(counts)),
        ),
        (
            "Perhaps you added the gradients up: the result is to be a mean.",
            lambda gradients, counts: weighted(gradients, counts, lambda count, total, many: 1.0),
        ),
        (
            "Perhaps you forgot to divide by the number of all tokens.",
            lambda gradients, counts: weighted(gradients, counts, lambda count, total, many: count),
        ),
        ("A process with no token has the gradient nan, and 0 times nan is nan.", partial(weighted, skip=False)),
        (
            "Perhaps you took the gradient of the process with the most tokens.",
            lambda gradients, counts: gradients[max(range(len(counts)), key=lambda one: counts[one])],
        ),
    ],
)
def merge_gradients(answer):
    import torch

    given = [([torch.tensor([1.0]), torch.tensor([5.0])], [3, 1]), ([drawn(1, 2, 3)], [7])]
    for seed in range(8):
        counts = [1 + (seed * 7 + rank * 5) % 11 for rank in range(2 + seed % 3)]
        given.append(([drawn(20 + seed * 5 + rank, 3, 2) for rank in range(len(counts))], counts))
    given.append(([drawn(90, 4), torch.full((4,), torch.nan), drawn(91, 4)], [2, 0, 6]))
    for gradients, counts in given:
        trial = Trial(answer, gradients, counts)
        got = trial.tensor(tuple(gradients[0].shape))
        # float32 numbers near 1, a handful of them added: rounding is near 1e-7
        trial.close(got, weighted(gradients, counts), 1e-5, "your gradient is off by up to {off}")


def followed(
    overflows,
    scale,
    interval,
    after: bool = False,
    keep: bool = False,
    once: bool = False,
    total: bool = False,
    whole: bool = False,
):
    """The scales of the steps; the options are ways of getting it wrong."""
    used, good = [], 0
    for overflow in overflows:
        if not after:
            used.append(scale)
        if overflow:
            scale, good = scale // 2 if whole else scale / 2, good if keep else 0
        else:
            good += 1
            if good == interval or (once and good > interval):
                scale, good = scale * 2, good if once or total else 0
        if after:
            used.append(scale)
    return used


@exercise(
    "14.3",
    mistakes=[
        ("A step's overflow changes the scale of the next step, not its own.", partial(followed, after=True)),
        ("Good steps count in a row: an overflow begins the counting anew.", partial(followed, keep=True)),
        ("After a doubling the counting begins anew: yours doubles at each good step.", partial(followed, once=True)),
        ("After a doubling the counting begins anew: yours never doubles again.", partial(followed, total=True)),
        ("Half of 1 is 0.5: a scale may fall below 1.", partial(followed, whole=True)),
        ("An overflow halves the scale.", lambda o, scale, n: [scale * 2 ** (place // n) for place in range(len(o))]),
        ("Perhaps you wait one step too many before you double.", lambda o, scale, n: followed(o, scale, n + 1)),
        ("Perhaps you double one step too early.", lambda o, scale, n: followed(o, scale, max(1, n - 1))),
    ],
)
def scales(answer):
    cases = [([True, False, False, False], 8.0, 2), ([], 4.0, 3), ([False] * 7, 1.0, 2), ([True] * 3, 16.0, 2)]
    cases += [([False, False, True, False, False, False, False], 4.0, 3), ([False, True, False, False], 2.0, 1)]
    cases.append(([True, True, True, False], 2.0, 4))  # below 1
    draw = random.Random(3)
    for _ in range(8):
        flags = [draw.random() < 0.25 for _ in range(14)]
        cases.append((flags, 2.0 ** draw.randint(3, 9), draw.randint(2, 4)))
    for overflows, scale, interval in cases:
        expected = scaled_by_the_library(overflows, scale, interval)
        trial = Trial(answer, overflows, scale, interval)
        got = trial.returns(list, "a list of numbers", of=float)
        trial.expect(len(got) == len(expected), f"one scale for each step was expected, but got {len(got)}")
        trial.equal(got, expected, "your scales {got} are not those that the steps use")


def scaled_by_the_library(overflows, scale, interval) -> list[float]:
    """What PyTorch's own scaler does, step by step."""
    import torch

    optimizer = torch.optim.SGD([weight := torch.zeros(1, requires_grad=True)], lr=0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=interval)
    used = []
    for overflow in overflows:
        used.append(scaler.get_scale() if used else scale)
        scaler.scale(weight.sum())
        weight.grad = torch.tensor([float("inf") if overflow else 1.0])
        scaler.step(optimizer)
        scaler.update()
    return used


def dealt(rows, world) -> list[list[int]]:
    import torch

    return [piece.tolist() for piece in torch.arange(rows).tensor_split(world)]


def in_chunks(rows, world) -> list[list[int]]:
    size = -(-rows // world)
    return [list(range(rows))[rank * size : (rank + 1) * size] for rank in range(world)]


def longest_last(rows, world) -> list[list[int]]:
    sizes, begin, found = [len(one) for one in dealt(rows, world)][::-1], 0, []
    for size in sizes:
        found.append(list(range(begin, begin + size)))
        begin += size
    return found


@exercise(
    "14.4",
    mistakes=[
        (
            "Rows are lost: the rest of the division must be shared out, too.",
            lambda rows, world: [list(range(r * (rows // world), (r + 1) * (rows // world))) for r in range(world)],
        ),
        (
            "Perhaps you dealt the rows out like cards: each process gets a piece in one run.",
            lambda rows, world: [list(range(rank, rows, world)) for rank in range(world)],
        ),
        ("Perhaps each took the rounded-up size: then the last ones get too few.", in_chunks),
        ("The longer pieces come first.", longest_last),
        (
            "Perhaps the last process took the whole rest: the lengths may differ by one at most.",
            lambda rows, world: [
                list(range(r * (rows // world), rows if r == world - 1 else (r + 1) * (rows // world)))
                for r in range(world)
            ],
        ),
        ("There is one list for each process, an empty one too.", lambda *given: [one for one in dealt(*given) if one]),
        (
            "Rows count from 0.",
            lambda rows, world: [[row + 1 for row in one] for one in dealt(rows, world)],
        ),
    ],
)
def split_rows(answer):
    for rows, world in [(5, 2), (8, 4), (10, 4), (9, 4), (7, 3), (3, 5), (1, 1), (0, 2), (17, 6), (100, 8)]:
        trial = Trial(answer, rows, world)
        got = trial.returns(list, "a list of lists of row numbers", of=list)
        got = [list(one) for one in got]
        expected = dealt(rows, world)
        trial.equal(got, expected, "your lists {got} are not all rows in nearly equal pieces")


def parts(x, first, second, world, activation="gelu", rows_of_second: bool = False, interleaved: bool = False):
    """Each process's part of a cut block; the options are ways of getting it wrong."""
    import torch

    act = {"gelu": torch.nn.functional.gelu, "relu": torch.relu, "none": lambda one: one}[activation]
    if interleaved:
        ones, twos = ([m[r::world] for r in range(world)] for m in (first, second.T))
        return [act(x @ one.T) @ two for one, two in zip(ones, twos, strict=True)]
    twos = second.chunk(world, dim=0) if rows_of_second else second.chunk(world, dim=1)
    return [act(x @ one.T) @ two.T for one, two in zip(first.chunk(world), twos, strict=True)]


def whole_block(x, first, second):
    import torch

    return torch.nn.functional.gelu(x @ first.T) @ second.T


@exercise(
    "14.5",
    mistakes=[
        ("Perhaps the GELU is missing.", partial(parts, activation="none")),
        ("Between the products stands a GELU, not a ReLU.", partial(parts, activation="relu")),
        (
            "That is the whole output each time: each process holds its own part only.",
            lambda x, first, second, world: [whole_block(x, first, second) for _ in range(world)],
        ),
        (
            "You summed up already: what is asked for is what stands before the all-reduce.",
            lambda x, first, second, world: [sum(parts(x, first, second, world))] * world,
        ),
        (
            "Perhaps you cut the whole output into equal parts: then nothing is saved.",
            lambda x, first, second, world: [whole_block(x, first, second) / world] * world,
        ),
        (
            "Process r takes the r-th run of inner units: yours take every world-th one.",
            partial(parts, interleaved=True),
        ),
        ("The parts are in the order of the processes.", lambda *given: parts(*given)[::-1]),
    ],
)
def partial_outputs(answer):
    for seed, (rows, inside, inner, outside, world) in enumerate(
        [(2, 3, 4, 3, 2), (3, 4, 6, 5, 3), (1, 2, 8, 2, 4), (4, 6, 4, 6, 1), (2, 5, 6, 4, 2), (3, 2, 4, 7, 4)]
    ):
        x, first, second = drawn(seed, rows, inside), drawn(50 + seed, inner, inside), drawn(80 + seed, outside, inner)
        trial = Trial(
            answer,
            x,
            first,
            second,
            world,
            given=f"x {tuple(x.shape)}, first {tuple(first.shape)}, second {tuple(second.shape)}, world={world}",
        )
        got = trial.returns(list, "a list of tensors, one for each process")
        trial.expect(len(got) == world, f"{world} parts were expected, but got {len(got)}")
        import torch

        for rank, one in enumerate(got):
            trial.expect(
                isinstance(one, torch.Tensor), f"part {rank} is to be a tensor, but it is a {type(one).__name__}"
            )
            trial.shape(one, (rows, outside), ("A part is as large as the whole output.", True))
        stacked = torch.stack([one.detach().float() for one in got])
        # sums of at most eight products of normal numbers: rounding is near 1e-6
        expected = torch.stack(parts(x, first, second, world))
        trial.close(stacked, expected, 1e-4, "your parts are off by up to {off}", form=torch.stack)


def planned(stages, pieces, slots: int = 0, step: int = 1) -> list[list]:
    """A timetable, slot by slot; the options are ways of getting it wrong."""
    length = slots or pieces + step * (stages - 1)
    return [
        [slot - step * stage if 0 <= slot - step * stage < pieces else None for slot in range(length)]
        for stage in range(stages)
    ]


@exercise(
    "14.6",
    mistakes=[
        (
            "A stage can't begin before the stage before has finished with the micro-batch.",
            lambda stages, pieces: [[*range(pieces)] + [None] * (stages - 1) for _ in range(stages)],
        ),
        (
            "A stage begins as soon as one micro-batch is there, not when all are.",
            lambda stages, pieces: planned(stages, pieces, step=pieces),
        ),
        (
            "The table is too long: it ends with the last stage's last micro-batch.",
            lambda stages, pieces: planned(stages, pieces, slots=pieces + stages),
        ),
        (
            "The table is too short: the last stage still has work to do.",
            lambda stages, pieces: planned(stages, pieces, slots=max(stages, pieces)),
        ),
        (
            "Where a stage has nothing to do stands None.",
            lambda stages, pieces: [[-1 if one is None else one for one in row] for row in planned(stages, pieces)],
        ),
        (
            "A row is for a stage, a column for a time slot: yours are exchanged.",
            lambda stages, pieces: [list(slot) for slot in zip(*planned(stages, pieces), strict=True)],
        ),
        (
            "Micro-batches count from 0.",
            lambda stages, pieces: [
                [None if one is None else one + 1 for one in row] for row in planned(stages, pieces)
            ],
        ),
        (
            "The micro-batches go in order.",
            lambda stages, pieces: [
                [None if one is None else pieces - 1 - one for one in row] for row in planned(stages, pieces)
            ],
        ),
    ],
)
def timetable(answer):
    for stages, pieces in [(2, 3), (1, 1), (1, 4), (4, 1), (3, 5), (4, 2), (2, 2), (5, 8)]:
        trial = Trial(answer, stages, pieces)
        got = [list(row) for row in trial.returns(list, "a list of rows, one for each stage", of=list)]
        trial.equal(got, planned(stages, pieces), "your table {got} is not this pipeline's")


def sharded(parameters, world, stage, order: str = "mgp", moments: int = 2, size: int = 4) -> int:
    """Bytes of one process; `order` says what is cut from stage 1, 2 and 3 on."""
    cut = order[:stage]
    counts = {"p": parameters, "g": parameters, "m": moments * parameters}
    return size * sum(count // world if part in cut else count for part, count in counts.items())


@exercise(
    "14.7",
    mistakes=[
        ("Stage 1 cuts the moments: yours begins with the parameters.", partial(sharded, order="pgm")),
        ("Stage 1 cuts the moments: yours begins with the gradients.", partial(sharded, order="gmp")),
        ("Adam has two moments for each parameter.", partial(sharded, moments=1)),
        ("Perhaps you counted numbers, not bytes.", partial(sharded, size=1)),
        (
            "Perhaps you cut everything at every stage.",
            lambda parameters, world, stage: sharded(parameters, world, 3 if stage else 0),
        ),
        (
            "That is what all processes hold together: one holds a share.",
            lambda parameters, world, stage: world * sharded(parameters, world, stage),
        ),
        (
            "A stage cuts what the stages before it cut, too.",
            lambda parameters, world, stage: sharded(parameters, world, 1, order="mgp"[stage - 1 : stage] or "x"),
        ),
    ],
)
def zero_bytes(answer):
    for parameters, world in [(100, 2), (600, 3), (8000, 8), (24, 1), (134_400_000, 64)]:
        for stage in range(4):
            trial = Trial(answer, parameters, world, stage)
            got = trial.returns(int)
            trial.equal(got, sharded(parameters, world, stage), "your {got} bytes are not what one process holds")


def in_library(weight, a, b, alpha):
    """What peft makes of it."""
    import torch
    from peft import LoraConfig, get_peft_model

    model = torch.nn.Sequential(torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False))
    adapted = get_peft_model(model, LoraConfig(r=len(a), lora_alpha=alpha, target_modules=["0"]))
    layer = adapted.base_model.model[0]
    with torch.no_grad():
        layer.base_layer.weight.copy_(weight)
        layer.lora_A["default"].weight.copy_(a)
        layer.lora_B["default"].weight.copy_(b)
    return adapted.merge_and_unload()[0].weight.detach()


def scaled(weight, a, b, alpha, factor=lambda alpha, rank: alpha / rank):
    return weight + factor(alpha, a.shape[0]) * (b @ a)


@exercise(
    "14.8",
    mistakes=[
        ("Perhaps you left out the scale alpha / r.", partial(scaled, factor=lambda alpha, rank: 1)),
        ("Perhaps you scaled by alpha and forgot to divide by the rank.", partial(scaled, factor=lambda al, _: al)),
        ("Perhaps you divided by the rank and left out alpha.", partial(scaled, factor=lambda _, rank: 1 / rank)),
        ("The scale is alpha / r, not r / alpha.", partial(scaled, factor=lambda alpha, rank: rank / alpha)),
        (
            "That is the adapter's part alone: the weight belongs to it.",
            lambda weight, a, b, alpha: scaled(0 * weight, a, b, alpha),
        ),
        ("The adapter's part is added, not subtracted.", partial(scaled, factor=lambda alpha, rank: -alpha / rank)),
        (
            "The rank is the number of rows of a.",
            lambda weight, a, b, alpha: weight + alpha / a.shape[1] * (b @ a),
        ),
        (
            "The rank is the number of columns of b.",
            lambda weight, a, b, alpha: weight + alpha / b.shape[0] * (b @ a),
        ),
        (
            "Only the adapter's part is scaled.",
            lambda weight, a, b, alpha: alpha / len(a) * (weight + b @ a),
        ),
    ],
)
def merge(answer):
    import torch

    example = (torch.zeros(2, 2), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0], [3.0]]), 2)
    cases = []
    for seed, (rows, columns, rank, alpha) in enumerate([(5, 4, 2, 16), (3, 7, 4, 4), (6, 6, 3, 8), (2, 3, 2, 1)]):
        cases.append((drawn(seed, rows, columns), drawn(30 + seed, rank, columns), drawn(60 + seed, rows, rank), alpha))
    for weight, a, b, alpha in [*cases, example]:
        words = f"a weight {tuple(weight.shape)}, a {tuple(a.shape)}, b {tuple(b.shape)}, alpha={alpha}"
        trial = Trial(answer, weight, a, b, alpha, given=words)
        got = trial.tensor(tuple(weight.shape))
        # products of a few normal numbers times at most 8: rounding is near 1e-6
        trial.close(got, in_library(weight, a, b, alpha), 1e-4, "your weight is off by up to {off}")

"""Chapter 10: baseline, padding, macro F1, the log, confident mistakes, weight decay, early stopping, step counts."""

import math
import random

from labs_utils.exercises.core import call, describe, exercise, expect


def _number(value, given: str) -> float:
    """The learner's number (int, float, numpy or tensor scalar) as a float, or a complaint."""
    try:
        return float(value)
    except (TypeError, ValueError):
        expect(False, f"Given {given}, a number was expected, but got {describe(value)}.")


def _integer(value, given: str) -> int:
    """The learner's whole number as an int (a float such as 6.0 will do), or a complaint."""
    number = _number(value, given)
    expect(number == int(number), f"Given {given}, a whole number was expected, but got {describe(value)}.")
    return int(number)


@exercise("10.1")
def lazy_baseline(answer):
    draw = random.Random(0)
    cases = [[2, 0, 2, 1], [5], [0, 0, 1], [3, 3, 3], [1, 2, 2, 0, 2, 1]]
    cases += [draw.choices(range(6), weights=[5, 3, 1, 1, 2, 9], k=draw.randint(1, 60)) for _ in range(20)]
    for labels in cases:
        given = f"the labels {describe(labels)}"
        got = call(answer, list(labels), given=given)
        expect(
            isinstance(got, tuple | list) and len(got) == 2,
            f"Given {given}, a pair (label, accuracy) was expected, but got {describe(got)}.",
        )
        label, accuracy = _number(got[0], given), _number(got[1], given)
        counts = {value: labels.count(value) for value in set(labels)}
        perhaps = ""
        if label in counts.values() and label not in counts:
            perhaps = " Perhaps you returned how often it occurs instead of the label itself."
        elif label == max(labels):
            perhaps = " Perhaps you took the largest label instead of the most frequent one."
        expect(
            counts.get(label) == max(counts.values()),
            f"Given {given}, the label {describe(got[0])} is not the most frequent one.{perhaps}",
        )
        perhaps = ""
        if accuracy > 1:
            perhaps = " Perhaps you forgot to divide by the number of labels, or gave per cent."
        elif math.isclose(accuracy, 1 / len(counts)):
            perhaps = " Perhaps you divided by the number of classes: how often is this very answer right?"
        # a division of two small integers: any correct way agrees far below 1e-9
        expect(
            abs(accuracy - max(counts.values()) / len(labels)) < 1e-6,
            f"Given {given}, the accuracy {accuracy:g} is not how often that answer is right.{perhaps}",
        )


def _waste(lengths, size: int, *, widest=False, drop=False, narrow=False, of_real=False) -> float:
    """The share of padding, and what learners get who go wrong in one of four ways."""
    batches = [lengths[first : first + size] for first in range(0, len(lengths), size)]
    if drop:
        batches = [batch for batch in batches if len(batch) == size]
    fit = min if narrow else max
    computed = sum((max(lengths) if widest else fit(batch)) * len(batch) for batch in batches)
    real = sum(sum(batch) for batch in batches)
    if not computed:
        return 0.0
    return (computed - real) / (real if of_real else computed)


@exercise("10.2")
def wasted_share(answer):
    import numpy as np

    draw = random.Random(1)
    cases = [([8, 2, 3, 5, 1], 2), ([4, 2, 3], 2), ([5, 5, 5, 5], 2), ([7], 4), ([1, 9], 1)]
    cases += [([1, 9], 2), ([3, 4, 5, 20], 3), ([], 8)]
    for _ in range(20):
        cases.append(([draw.randint(3, 60) for _ in range(draw.randint(1, 70))], draw.randint(1, 16)))
    for lengths, size in cases:
        given = f"the lengths {describe(lengths)} and batches of {size}"
        got = _number(call(answer, list(lengths), size, given=given), given)
        wanted = _waste(lengths, size)
        perhaps = ""
        if lengths and not math.isclose(got, wanted, abs_tol=1e-6):
            if math.isclose(got, _waste(lengths, size, widest=True), abs_tol=1e-6):
                perhaps = " Perhaps you padded to the longest row of all instead of the longest of each batch."
            elif math.isclose(got, _waste(lengths, size, drop=True), abs_tol=1e-6):
                perhaps = " Perhaps you left out the last batch when it is smaller."
            elif math.isclose(got, 1 - wanted, abs_tol=1e-6):
                perhaps = " Perhaps you returned the share of real tokens."
            elif math.isclose(got, _waste(lengths, size, of_real=True), abs_tol=1e-6):
                perhaps = " Perhaps you divided by the real tokens: the share is of all positions."
            elif got > 1:
                perhaps = " Perhaps you returned a count: a share lies between 0 and 1."
            elif got < 0:
                perhaps = " Perhaps you padded to the shortest row."
        # sums of integers and one division: any correct way agrees far below 1e-6
        expect(abs(got - wanted) < 1e-6, f"Given {given}, the share {got:g} is not that of the padding.{perhaps}")
    for kind in (tuple, np.array):  # other kinds of lists, as a data set hands them over
        given = f"the lengths [4, 2, 3] as {kind.__name__} and batches of 2"
        got = _number(call(answer, kind([4, 2, 3]), 2, given=given), given)
        expect(abs(got - 2 / 11) < 1e-6, f"Given {given}, your function gives {got:g}, and for the list 2/11.")


@exercise("10.3")
def macro_metrics(answer):
    import numpy as np
    from sklearn.metrics import accuracy_score, f1_score
    from transformers import EvalPrediction

    draw = np.random.default_rng(2)
    cases = [(np.array([[2.0, 1], [1, 0], [3, 0]]), np.array([0, 0, 1]))]
    cases.append((np.eye(6)[[0] * 12], np.array([0] * 6 + [1, 2, 3, 4, 5, 5])))
    cases.append((-np.eye(3)[[0, 1, 2]], np.array([1, 2, 0])))
    for rows in (1, 7, 40, 40, 40):
        labels = draw.choice(6, rows, p=[0.4, 0.3, 0.1, 0.1, 0.07, 0.03])
        cases.append((draw.normal(size=(rows, 6)) + 1.5 * np.eye(6)[labels], labels))
    for logits, labels in cases:
        answers = logits.argmax(axis=-1)
        given = f"labels {describe(labels.tolist())} and answers {describe(answers.tolist())}"
        before = logits.copy(), labels.copy()
        got = call(answer, EvalPrediction(predictions=logits, label_ids=labels), given=given)
        expect(isinstance(got, dict), f"Given {given}, a dict was expected, but got {describe(got)}.")
        expect(
            {"accuracy", "f1"} <= set(got),
            f'Given {given}, the keys "accuracy" and "f1" were expected, but got {describe(sorted(map(str, got)))}.',
        )
        unchanged = np.array_equal(before[0], logits) and np.array_equal(before[1], labels)
        expect(unchanged, f"Given {given}, your function changed the predictions or labels it was given.")
        accuracy, f1 = _number(got["accuracy"], given), _number(got["f1"], given)
        # scikit-learn computes in float64; 1e-6 leaves room for float32
        expect(
            abs(accuracy - accuracy_score(labels, answers)) < 1e-6,
            f"Given {given}, the accuracy {accuracy:g} is not the share of right answers. "
            "Perhaps you took the argmax over the rows instead of the classes.",
        )
        scores = {kind: f1_score(labels, answers, average=kind, zero_division=0) for kind in ("weighted", "micro")}
        present = f1_score(labels, answers, labels=np.unique(labels), average="macro", zero_division=0)
        every = f1_score(labels, answers, labels=range(logits.shape[1]), average="macro", zero_division=0)
        perhaps = ""
        if math.isclose(f1, scores["weighted"], abs_tol=1e-6):
            perhaps = " That is the weighted F1, in which the frequent classes count more."
        elif math.isclose(f1, scores["micro"], abs_tol=1e-6):
            perhaps = " That is the micro F1, which equals the accuracy here."
        elif math.isclose(f1, every, abs_tol=1e-6):
            perhaps = " Perhaps you counted classes that occur neither in the labels nor in the answers."
        elif math.isclose(f1, present, abs_tol=1e-6):
            perhaps = " Perhaps you left out a class that occurs in the answers only."
        wanted = f1_score(labels, answers, average="macro", zero_division=0)
        expect(
            abs(f1 - wanted) < 1e-6,
            f"Given {given}, your f1 of {f1:g} is not the mean of the classes' F1.{perhaps}",
        )


@exercise("10.4")
def losses_by_step(answer):
    example = [{"loss": 1.5, "step": 10}, {"eval_loss": 1.2, "step": 10}]
    real = [
        {"loss": 1.7, "grad_norm": 3.0, "learning_rate": 1e-4, "epoch": 0.5, "step": 5},
        {"loss": 0.0, "grad_norm": 0.0, "learning_rate": 5e-5, "epoch": 1.0, "step": 10},
        {"eval_loss": 0.0, "eval_accuracy": 1.0, "eval_runtime": 0.2, "epoch": 1.0, "step": 10},
        {"loss": 0.4, "grad_norm": 1.0, "learning_rate": 1e-5, "epoch": 1.5, "step": 15},
        {"eval_loss": 0.7, "eval_accuracy": 0.5, "eval_runtime": 0.2, "epoch": 2.0, "step": 20},
        {"train_runtime": 9.0, "train_loss": 0.7, "total_flos": 1.0, "epoch": 2.0, "step": 20},
    ]
    cases = {"the example": example, "a log with a summary": real, "training only": real[:2], "an empty log": []}
    for given, history in cases.items():
        got = call(answer, [dict(entry) for entry in history], given=given)
        expect(
            isinstance(got, tuple | list) and len(got) == 2,
            f"Given {given}, two lists were expected, but got {describe(got)}.",
        )
        for mine, key in zip(got, ("loss", "eval_loss"), strict=True):
            wanted = [(entry["step"], entry[key]) for entry in history if key in entry]
            expect(
                isinstance(mine, list | tuple) and all(isinstance(p, tuple | list) and len(p) == 2 for p in mine),
                f"Given {given}, the list for {key} must hold pairs (step, value), but got {describe(mine)}.",
            )
            mine, perhaps = [tuple(pair) for pair in mine], ""
            if mine == [(value, step) for step, value in wanted]:
                perhaps = " Perhaps you put the value before the step."
            elif [step for step, _ in mine] != [step for step, _ in wanted] and len(mine) == len(wanted):
                perhaps = " Perhaps you counted the entries: the step stands in each entry."
            elif len(mine) > len(wanted):
                perhaps = " Perhaps you took the summary at the end too: its train_loss is the mean of the whole run."
            elif wanted and set(mine) == {pair for pair in wanted if pair[1]}:
                perhaps = " Perhaps you asked whether the loss is true: 0.0 is false, and yet it is there."
            expect(
                mine == wanted,
                f"Given {given}, the pairs for {key} {describe(mine)} are not those of the log.{perhaps}",
            )


@exercise("10.5")
def confident_mistakes(answer):
    import torch
    from torch.nn.functional import cross_entropy

    draw = torch.Generator().manual_seed(3)
    cases = [(torch.tensor([[4.0, 0], [0, 1], [0, 3]]), torch.tensor([1, 0, 1]), 5)]
    cases.append((torch.tensor([[2.0, 0], [0, 2]]), torch.tensor([0, 1]), 3))
    # row 0 is right and has a high loss all the same; row 1 is wrong and has a lower one
    cases.append((torch.tensor([[0.1, 0, 0, 0, 0, 0], [0, 0.2, -9, -9, -9, -9]]), torch.tensor([0, 0]), 1))
    for rows, k in ((30, 5), (30, 100), (200, 3), (1, 1), (50, 7)):
        logits = 2 * torch.randn(rows, 6, generator=draw)
        cases.append((logits, torch.randint(0, 6, (rows,), generator=draw), k))
    for logits, labels, k in cases:
        given = f"logits of shape {list(logits.shape)} with labels {describe(labels.tolist())} and k={k}"
        if len(labels) < 4:
            given = f"logits {describe(logits.tolist())}, labels {labels.tolist()} and k={k}"
        got = call(answer, logits.clone(), labels.clone(), k, given=given)
        got = got.tolist() if hasattr(got, "tolist") else got
        whole = isinstance(got, list | tuple) and all(float(row) == int(row) for row in got if hasattr(row, "__int__"))
        expect(
            whole and all(hasattr(row, "__int__") for row in got),
            f"Given {given}, a list of row numbers was expected, but got {describe(got)}.",
        )
        got = [int(row) for row in got]
        loss = cross_entropy(logits, labels, reduction="none")
        by_loss = loss.argsort(descending=True).tolist()
        wrong = [row for row in by_loss if int(logits[row].argmax()) != int(labels[row])]
        perhaps = ""
        if any(row not in wrong for row in got):
            perhaps = " Perhaps you kept rows that are answered rightly: a right answer can have a high loss too."
        elif got == [row for row in by_loss[:k] if row in wrong]:
            perhaps = " Perhaps you cut to k first and filtered afterwards: then some wrong rows are missing."
        elif got == wrong[::-1][:k]:
            perhaps = " Perhaps you sorted the lowest loss first."
        elif sorted(got) == sorted(wrong[:k]):
            perhaps = " These are the right rows in another order: the highest loss comes first."
        elif len(got) > k:
            perhaps = " Perhaps you forgot to stop at k."
        expect(
            got == wrong[:k],
            f"Given {given}, the rows {describe(got)} are not the wrong ones with the highest loss.{perhaps}",
        )


def _two_norms():
    """Models whose names tell little: the norm has an unusual name, and a weight is called like a norm."""
    import torch
    from torch import nn

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.calm = nn.LayerNorm(4)  # spared, whatever its name
            self.mixing = nn.Linear(4, 4)
            self.table = nn.Embedding(3, 4)
            self.scale = nn.Parameter(torch.ones(4))  # decays: it belongs to no norm

    return Odd()


@exercise("10.6")
def decay_groups(answer):
    import torch
    from torch import nn
    from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel, Trainer

    small = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    small["vocab_size"] = 9
    state = torch.get_rng_state()
    bert = BertForSequenceClassification(BertConfig(**small))
    frozen = BertForSequenceClassification(BertConfig(**small))
    frozen.bert.embeddings.requires_grad_(False)
    gpt = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=9))
    cases = {"Sequential(Linear, LayerNorm)": nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), "a small BERT": bert}
    cases |= {"a small GPT-2": gpt, "a BERT with frozen embeddings": frozen}
    cases["a LayerNorm with an odd name"] = _two_norms()
    torch.set_rng_state(state)
    for given, model in cases.items():
        got = call(answer, model, given=given)
        expect(
            isinstance(got, tuple | list) and len(got) == 2,
            f"Given {given}, two lists of names were expected, but got {describe(got)}.",
        )
        strings = all(not isinstance(part, str) and all(isinstance(name, str) for name in part) for part in got)
        expect(strings, f"Given {given}, both lists must hold names of parameters, but got {describe(got)}.")
        trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
        listed = [*got[0], *got[1]]
        ghosts = sorted(set(listed) - set(trained))
        perhaps = " Perhaps you forgot that it is frozen." if ghosts and "frozen" in given else ""
        expect(not ghosts, f"Given {given}, {ghosts[:1]} is no trained parameter.{perhaps}")
        expect(len(listed) == len(set(listed)), f"Given {given}, a name stands in both lists, or twice in one.")
        missing = sorted(set(trained) - set(listed))
        expect(not missing, f"Given {given}, {missing[:1]} is in neither list.")
        wanted = Trainer.get_decay_parameter_names(None, model)
        for name in got[0]:
            why = "it is a bias" if name.endswith("bias") else "it belongs to a normalization layer"
            expect(name in wanted, f"Given {given}, {name!r} is among those that decay, but {why}.")
        for name in got[1]:
            why = "Perhaps you looked at its name only." if "odd" in given else "It is neither bias nor norm."
            expect(name not in wanted, f"Given {given}, {name!r} is among those that don't decay. {why}")


def _stops(values, patience: int, greater: bool, *, loose=False, previous=False, keep=False, late=False):
    """When early stopping ends a run, and what learners get who go wrong in one of four ways."""
    best, count = None, 0
    for number, value in enumerate(values, start=1):
        signed = value if greater else -value
        better = best is None or signed > best or (loose and signed == best)
        if better:
            count = 0 if not keep else count
        else:
            count += 1
        if better or previous:
            best = signed
        if count > patience if late else count >= patience:
            return number
    return None


@exercise("10.7")
def stops_at(answer):
    from transformers import EarlyStoppingCallback
    from transformers.trainer_callback import TrainerControl, TrainerState

    draw = random.Random(4)
    cases = [([1.0, 0.9, 0.8, 0.9, 0.85, 0.95, 0.97, 0.7], 3, False), ([1.0, 0.8, 0.9, 0.8, 0.7], 2, False)]
    cases += [([0.5, 0.6, 0.7], 1, True), ([], 2, True), ([0.3], 1, False)]
    cases += [([0.5, 0.5, 0.5], 2, True), ([0.9, 0.5, 0.6, 0.7, 0.8], 3, True), ([-1.0, -2.0, -1.5, -1.2], 2, False)]
    for _ in range(60):
        values = [round(draw.random(), 1) for _ in range(draw.randint(1, 12))]
        cases.append((values, draw.randint(1, 4), draw.random() < 0.5))
    for values, patience, greater in cases:
        given = f"the values {describe(values)}, patience={patience} and greater_is_better={greater}"
        got = call(answer, list(values), patience, greater, given=given)
        got = None if got is None else _integer(got, given)
        wanted = _library_stop(values, patience, greater, EarlyStoppingCallback, TrainerState, TrainerControl)
        perhaps = ""
        if got == _stops(values, patience, not greater):
            perhaps = " Perhaps you took the other direction for better."
        elif got == _stops(values, patience, greater, loose=True):
            perhaps = " Perhaps you took an equal value for an improvement: it must be strictly better."
        elif got == _stops(values, patience, greater, previous=True):
            perhaps = " Perhaps you compared with the previous value instead of the best so far."
        elif got == _stops(values, patience, greater, keep=True):
            perhaps = " Perhaps you forgot to set the count back to 0 after an improvement."
        elif got == _stops(values, patience, greater, late=True):
            perhaps = " Perhaps you waited until the count is larger than patience: reaching it is enough."
        elif got is not None and got + 1 == wanted:
            perhaps = " Perhaps you counted the evaluations from 0."
        ends = "with no stop" if wanted is None else "with a stop"
        expect(got == wanted, f"Given {given}, the run ends {ends}, and your answer {got} is not it.{perhaps}")


def _library_stop(values, patience, greater, callback_class, state_class, control_class) -> int | None:
    """What the library's callback does with these values: the Trainer notes a new best after each evaluation."""
    from types import SimpleNamespace

    callback, state, control = callback_class(patience), state_class(), control_class()
    arguments = SimpleNamespace(metric_for_best_model="score", greater_is_better=greater)
    for number, value in enumerate(values, start=1):
        callback.on_evaluate(arguments, state, control, metrics={"eval_score": value})
        if control.should_training_stop:
            return number
        if state.best_metric is None or (value > state.best_metric if greater else value < state.best_metric):
            state.best_metric = value
    return None


@exercise("10.8")
def optimizer_steps(answer):
    from types import SimpleNamespace

    from transformers import Trainer

    cases = [(100, 16, 2, 3, 3), (100, 16, 1, 1, 1), (96, 16, 1, 1, 2), (16_000, 16, 4, 2, 4), (1, 8, 1, 1, 1)]
    cases += [(100, 16, 1, 1, 0.5), (33, 8, 1, 2, 1.5), (5, 8, 4, 4, 3), (10, 1, 1, 3, 2), (1_754, 32, 1, 1, 2)]
    draw = random.Random(5)
    for _ in range(30):
        rows, per_device = draw.randint(1, 500), draw.randint(1, 32)
        cases.append((rows, per_device, draw.randint(1, 4), draw.randint(1, 4), draw.choice([1, 2, 3.5])))
    for case in cases:
        rows, per_device, devices, accumulation, epochs = case
        given = f"rows={rows}, per_device={per_device}, devices={devices}, accumulation={accumulation}, epochs={epochs}"
        got = _integer(call(answer, *case, given=given), given)
        turns = math.ceil(rows / (per_device * devices))
        # the Trainer's own arithmetic, given a loader of that many turns
        loader = type("Loader", (), {"__len__": lambda self, turns=turns: turns, "dataset": range(rows)})()
        arguments = SimpleNamespace(max_steps=-1, gradient_accumulation_steps=accumulation, num_train_epochs=epochs)
        trainer = SimpleNamespace(
            get_total_train_batch_size=lambda args: 1, get_sp_size=lambda: 1, num_examples=lambda loader: 1
        )
        wanted = Trainer.set_initial_training_values(trainer, arguments, loader)[-1]
        in_epoch = math.ceil(turns / accumulation)
        perhaps = ""
        if got == max(turns // accumulation, 1) * epochs:
            perhaps = " Perhaps you dropped the turns left over at the end of an epoch: they make a step of their own."
        elif got == math.ceil(epochs * rows / (per_device * devices * accumulation)):
            perhaps = " Perhaps you rounded once, at the end: each epoch begins anew, so round in each."
        elif got == math.ceil(epochs * math.ceil(math.ceil(rows / per_device) / accumulation)):
            perhaps = " Perhaps you forgot that the devices work at the same time."
        elif got == math.ceil(epochs * turns):
            perhaps = " Perhaps you forgot that several turns make one step."
        elif got == int(epochs * in_epoch) or got == int(epochs) * in_epoch:
            perhaps = " Perhaps you rounded a fraction of an epoch down."
        expect(got == wanted, f"Given {given}, {got} is not the number of optimizer steps.{perhaps}")

"""Chapter 09's own functions: bad files are named, and a run that is killed resumes to the same weights."""

import ast
import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch

from labs_utils.authoring.notebooks import solved_cell
from labs_utils.paths import ROOT
from tests.support.sources import SOURCES, cells

# What a run needs, in the order of the chapter; taken from its cells, with the imports and settings they stand beside.
NAMES = {
    "read_reviews",
    "Reviews",
    "split",
    "practice_model",
    "collate",
    "plan_batches",
    "save_checkpoint",
    "load_checkpoint",
    "train",
}
SETTINGS = {"language", "roles", "encoder", "hotels", "path", "tokenizer", "device", "width", "tiny", "names"}


@cache
def program() -> str:
    """The chapter's imports, settings and functions as one program."""
    kept = ["import labs_utils as lab"]
    for cell in cells(SOURCES["09"]):
        if cell.cell_type == "code":
            kept += [ast.unparse(node) for node in ast.parse(solved_cell(cell.source)).body if _wanted(node)]
    return "\n".join(kept)


def _wanted(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return "sklearn" not in ast.unparse(node) and "matplotlib" not in ast.unparse(node)
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name in NAMES
    if isinstance(node, ast.Assign):
        names = {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        return names <= SETTINGS and not isinstance(node.value, ast.Lambda)
    return False


@pytest.fixture(scope="module")
def chapter():
    names = {}
    exec(program(), names)
    assert set(names) >= NAMES | SETTINGS
    return names


START = "import labs_utils as lab; lab.start('09')\n"  # in a process of its own: here others have begun already

# Trains 16 steps in two epochs of 8 batches, with a checkpoint every 3. `hold` names the moment at which the process
# says "now" and waits to be killed: "step 14" is between backward and the optimizer, "save 9" is half a file written.
RUN = """
import sys, time
folder, name, hold = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
clip, write, steps = torch.nn.utils.clip_grad_norm_, torch.save, []
def wait_for_the_end():
    print("now", flush=True)
    time.sleep(120)
def counting_clip(*given, **more):
    steps.append(1)
    if hold == f"step {len(steps)}":
        wait_for_the_end()
    return clip(*given, **more)
def half_write(state, target):
    if hold == f"save {state.get('step')}":
        Path(target).write_bytes(b"half a checkpoint")
        wait_for_the_end()
    write(state, target)
torch.nn.utils.clip_grad_norm_, torch.save = counting_clip, half_write
model = train(folder / f"{name}.pt", Subset(Reviews(path), range(256)), save_every=3)
write(model.state_dict(), folder / f"{name}.weights")
"""


def run(folder: Path, name: str, hold: str = "") -> None:
    """Run the program in a process of its own; with `hold`, kill it at that moment."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", START + program() + RUN, str(folder), name, hold]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.strip() == "now":
                process.send_signal(signal.SIGKILL)
                break
        code = process.wait(timeout=120)
    assert code == (-signal.SIGKILL if hold else 0)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run(folder, "whole")
    return torch.load(folder / "whole.weights", weights_only=True)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is a Unix signal")
@pytest.mark.parametrize(("hold", "kept"), [("step 14", 12), ("save 9", 6)])
def test_a_killed_run_resumes_to_the_weights_of_an_uninterrupted_one(uninterrupted, tmp_path, hold, kept):
    run(tmp_path, "killed", hold)
    assert torch.load(tmp_path / "killed.pt", weights_only=True)["step"] == kept
    assert not (tmp_path / "killed.weights").exists()
    run(tmp_path, "killed")
    resumed = torch.load(tmp_path / "killed.weights", weights_only=True)
    assert set(resumed) == set(uninterrupted)
    assert all(torch.equal(weights, uninterrupted[name]) for name, weights in resumed.items())


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("label,text\n1,Lovely\n", ("no column 'review'", "['label', 'text']", "Rename")),
        ("review\nLovely\n", ("no column 'label'",)),
        ("label,review\n1,Lovely\n2,Damp\n", ("row 2", "label is 2", "0 (negative)")),
        ("label,review\n1,\n0,Damp\n-1,Loud\n", ("row 3", "label is -1")),
        ("label,review\n1,Lovely\nbad,Damp\n", ("row 2", "label is bad")),
        ("label,review\n1,Lovely\n0.5,Damp\n", ("row 2", "label is 0.5")),
        ("label,review\n1,\n0,\n", ("none of its 2 rows",)),
        ("label,review\n1,  \n0,\n", ("none of its 2 rows",)),
        ("label,review\n,Lovely\n", ("none of its 1 rows",)),
        ("label,review\n", ("none of its 0 rows",)),
        ("", ("is empty", "label,review")),
        ("label,review\n1,Lovely\nno label here\n", ("row 2", "label is no label here")),
        ("label;review\n1;Lovely\n", ("no column 'label'", "['label;review']")),
        ("label;review\n1;Lovely, quiet\n", ("more fields in a row",)),
        ("1,Lovely\n0,Damp\n", ("no column 'label'", "['1', 'Lovely']")),
        ('label,review\n1,Lovely\n0,"Damp\n', ("EOF inside string", "quote on both sides")),
        ("label,review\n1,Lovely\n0,Damp, loud\n", ("Expected 2 fields in line 3, saw 3",)),
        ("label,review\n1,很好\n".encode("gbk"), ("not in UTF-8",)),
        ("label,review\n1,很好\n".encode("utf-16"), ("not in UTF-8",)),
    ],
)
def test_a_bad_file_is_named_with_its_row_or_column(chapter, tmp_path, text, parts):
    path = tmp_path / "bad.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match="bad.csv") as caught:
        chapter["Reviews"](path)
    assert all(part in str(caught.value) for part in parts), caught.value
    assert str(tmp_path) not in str(caught.value)


def test_a_good_file_loses_only_its_gaps(chapter, tmp_path):
    path = tmp_path / "good.csv"
    path.write_text('label,review\n1,"Quiet, clean"\n0,\n,Nice\n0.0,42\n1,太好了 🙂\n', encoding="utf-8")
    reviews = chapter["Reviews"](path)
    assert [reviews[index] for index in range(len(reviews))] == [("Quiet, clean", 1), ("42", 0), ("太好了 🙂", 1)]


def test_what_real_files_hold_is_kept(chapter, tmp_path):
    path = tmp_path / "real.csv"
    long = "far " * 100_000
    text = f'\ufeffreview,label\r\n"a\n\nb",1\r\nnull,0\r\nNA,1\r\n{long},1\r\na\u2028b,0\r\n\r\n\r\n'
    path.write_bytes(text.encode())
    assert list(chapter["Reviews"](path)) == [("a\n\nb", 1), ("null", 0), ("NA", 1), (long, 1), ("a\u2028b", 0)]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_shipped_files_pass(chapter, language):
    rows = chapter["read_reviews"](Path(chapter["hotels"], f"{language}.csv"))
    assert len(rows) > 1000
    assert set(rows["label"]) == {0, 1}


def test_an_empty_part_is_refused(chapter):
    for rows in ([], ["one"]):
        with pytest.raises(ValueError, match="can't be split"):
            chapter["split"](rows)
    train, valid = chapter["split"](["one", "two"])
    assert len(train) == len(valid) == 1


def test_the_plan_is_the_same_whenever_it_is_made(chapter):
    plan = chapter["plan_batches"](10, 4, epochs=2)
    assert plan == chapter["plan_batches"](10, 4, epochs=2)
    assert [len(batch) for batch in plan] == [4, 4, 2, 4, 4, 2]
    assert sorted(sum(plan[:3], [])) == sorted(sum(plan[3:], [])) == list(range(10))
    assert plan[:3] != plan[3:]

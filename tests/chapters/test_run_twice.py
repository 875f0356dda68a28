"""What `make test-twice` finds: a cell that fails at its second run, and nothing that it should leave alone."""

import nbformat

from tests.chapters.run_twice import run_twice

new_cell = nbformat.v4.new_code_cell


def test_it_finds_what_fails_at_a_second_run_and_goes_on(tmp_path):
    (tmp_path / "once.txt").write_text("")
    cells = [
        new_cell("import os\nruns = []"),
        nbformat.v4.new_markdown_cell("prose"),
        new_cell("os.remove('once.txt')"),
        new_cell("runs.append('plain')"),
        new_cell("runs.append('slow')", metadata={"tags": ["slow"]}),
        new_cell("assert runs == ['plain', 'plain', 'slow'], runs"),
        new_cell("1 / 0"),
    ]
    found = list(run_twice(nbformat.v4.new_notebook(cells=cells), str(tmp_path)))
    assert [(fault.place, fault.time) for fault in found] == [(2, 2), (6, 1)]
    assert str(found[0]).startswith("cell 2, run 2: FileNotFoundError: ") and "os.remove" in str(found[0])

"""A pytest plugin: what a solved notebook shows while it is tested is what its page will show. Nothing runs twice."""

import os

import pytest

from book import execution


def _is_solved_cell(item) -> bool:
    return item.path.suffix == ".ipynb" and item.path.parent == execution.SOLVED


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Before nbval starts the kernel of a solved notebook: the environment of a page. Every other test goes without."""
    for name, value in execution.ENVIRONMENT.items():
        if _is_solved_cell(item):
            os.environ[name] = value
        else:
            os.environ.pop(name, None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """Collect what each cell shows. When all cells of the notebook have passed, keep it."""
    if not _is_solved_cell(item):
        yield
        return
    notebook = item.parent
    if not hasattr(notebook, "shown"):
        notebook.shown, notebook.displays, notebook.before = {}, {}, _key(notebook)
        _listen(notebook)
    notebook.heard = []
    outcome = yield
    if not outcome.excinfo:
        notebook.shown[item.cell_num] = outputs_of(notebook.heard, notebook.displays)
    if len(notebook.shown) == len(_code_cells(notebook)) and notebook.before is not None:
        outputs = [notebook.shown[number] for number, cell in enumerate(_code_cells(notebook)) if not _is_colab(cell)]
        execution.keep(notebook.path.stem, notebook.before, outputs)


def _listen(notebook) -> None:
    """Hear the kernel's messages as nbval reads them: it drops those that update or clear what was shown."""
    read = notebook.get_kernel_message

    def heard(*arguments, **keywords):
        message = read(*arguments, **keywords)
        notebook.heard.append(message)
        return message

    notebook.get_kernel_message = heard


def outputs_of(messages: list[dict], displays: dict[str, list]) -> list[dict]:
    """The outputs of one cell, as a notebook holds them after its messages.

    `displays` holds the outputs of the notebook so far that a later message may update, by their id.
    """
    import nbformat

    own = {one["parent_header"].get("msg_id") for one in messages if one["msg_type"] == "execute_input"}
    outputs: list[dict] = []
    clear = False
    for message in messages:
        kind, content = message["msg_type"], message["content"]
        if message["parent_header"].get("msg_id") not in own:
            continue
        if kind == "clear_output":
            clear = True
            if not content.get("wait"):
                outputs.clear()
                clear = False
        elif kind == "update_display_data":
            for output in displays.get(content["transient"]["display_id"], []):
                output["data"] = content["data"]
        elif kind in ("stream", "display_data", "execute_result"):
            if clear:
                outputs.clear()
                clear = False
            _add(outputs, nbformat.v4.output_from_msg(message))
            if name := content.get("transient", {}).get("display_id"):
                displays.setdefault(name, []).append(outputs[-1])
    return outputs


def _add(outputs: list[dict], new: dict) -> None:
    """Add an output; what is printed in pieces becomes one."""
    last = outputs[-1] if outputs else {}
    if new["output_type"] == "stream" and last.get("name") == new["name"]:
        last["text"] += new["text"]
    else:
        outputs.append(new)


def _code_cells(notebook) -> list:
    return [cell for cell in notebook.nb.cells if cell.cell_type == "code"]


def _is_colab(cell) -> bool:
    return "colab" in cell.metadata.get("tags", [])


def _chapter(notebook):
    from labs_utils.chapters import chapters

    return next((one for one in chapters().values() if one.stem == notebook.path.stem), None)


def _key(notebook) -> str | None:
    chapter = _chapter(notebook)
    sources = [cell.source for cell in _code_cells(notebook) if not _is_colab(cell)]
    return chapter and execution.key_of(chapter, sources)

# Runs at the start of a kernel whose outputs become a page (PYTHONSTARTUP). It leaves no name behind.
import importlib.util as _util
import pathlib as _pathlib

for _name in ("twins", "bars"):
    _spec = _util.spec_from_file_location(f"_labs_{_name}", _pathlib.Path(__file__).with_name(f"{_name}.py"))
    _module = _util.module_from_spec(_spec)
    _spec.loader.exec_module(_module)
    _module.install(get_ipython())  # noqa: F821  IPython gives it
del _util, _pathlib, _name, _spec, _module

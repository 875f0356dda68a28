# Runs at the start of a kernel whose outputs become a page (PYTHONSTARTUP). It leaves no name behind but this module's.
import importlib.util as _util
import pathlib as _pathlib

_spec = _util.spec_from_file_location("_labs_twins", _pathlib.Path(__file__).with_name("twins.py"))
_twins = _util.module_from_spec(_spec)
_spec.loader.exec_module(_twins)
_twins.install(get_ipython())  # noqa: F821  IPython gives it
del _util, _pathlib, _spec, _twins

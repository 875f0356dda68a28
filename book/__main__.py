"""`python -m book` builds the whole site; `python -m book 04 11` a preview in which only these chapters are run."""

import sys

from book.site import build
from labs_utils.errors import WorkbookError

try:
    build(sys.argv[1:])
except WorkbookError as error:
    print(f"The pages were not built; those in book/_build/html are as they were.\n{error}", file=sys.stderr)
    sys.exit(1)

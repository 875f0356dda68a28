"""`python -m book` builds the whole site; `python -m book 04 11` a preview in which only these chapters are run."""

import sys

from labs_utils.errors import WorkbookError

# jsonschema would compile dozens of grammars for a check of addresses that nobody asks for: two seconds at each start.
sys.modules.setdefault("rfc3987_syntax", None)

try:
    from book.site import build

    build(sys.argv[1:])
except WorkbookError as error:
    print(f"The pages were not built; those in book/_build/html are as they were.\n{error}", file=sys.stderr)
    sys.exit(1)

"""The executable pages. `python -m book`, which `make docs` runs, makes a site of the chapters and what they printed.

`execution` runs a chapter's solved notebook, or takes what the tests ran. `editions` makes a page's notebook from it.
`pages` collects what stands in many places: words, changes, data. `site` lets Sphinx render it and checks the result.
"""

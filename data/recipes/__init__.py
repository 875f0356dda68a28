"""The scripts that made every file under data/models: `python -m data.recipes.ROLE` from the repository's root.

One file per role says what is special to it: `main()` makes the model, `measured()` says how good it is. What they
share is in `texts`, `training`, `publishing`, `metrics` and `results`; no role imports another. LABS_DATA_DIR names the
folder of public sets (without it: ../shared/data, else the Hub). LABS_MINUTES ends a training after so many minutes.
Afterwards: `labs seal ROLE`, and `make bench-models` for the figures.
"""

SEED = 42

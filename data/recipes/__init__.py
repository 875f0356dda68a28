"""The scripts that made every file under data/models: `python -m data.recipes.ROLE` from the repository's root.

LABS_DATA_DIR names the folder of public sets (without it: ../shared/data, else the Hub). LABS_MINUTES ends the training
of an adapter after so many minutes. Afterwards: `labs seal ROLE`, and `make bench-models` for the figures.
"""

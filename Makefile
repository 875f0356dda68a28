# make lab    open the workbook in JupyterLab            make test   run every cell and every test
# make docs   the chapters as web pages, in book/_build/html; runs only what changed since it last ran
# make build  make the notebooks from chapters/          make bench  measure, and write benchmarks/RESULTS.md
# make test-twice  run every cell of every notebook twice in a row, as learners do; hours, so once a week
# make test-elsewhere  open chapters in Colab's conditions, install as README and Binder do; minutes, so once a week
# make style  what ruff and mypy say of the code
# make bench-models  measure what the shipped models can do, and write it into their cards and data/models/RESULTS.md
# Each makes .venv and installs by itself. `make lab TORCH=cpu` takes PyTorch from its own CPU index (a smaller download).
PYTHON ?= python3
# The tested versions. `make test CONSTRAINTS=` takes the newest that pyproject.toml allows.
CONSTRAINTS ?= -c constraints.txt
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
ifeq ($(TORCH),cpu)
PIP += --extra-index-url https://download.pytorch.org/whl/cpu
endif

# In a container the user is often root, and Jupyter asks for a word before it serves root.
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test docs test-twice test-elsewhere style build bench bench-models constraints clean

# The models that lie in published packages: at once where they are here. JupyterLab opens without them, too.
lab: .venv/.lab
	-@$(BIN)/labs fetch
	$(BIN)/jupyter lab $(ROOT) notebooks/00_start_here.ipynb

test: .venv/.test
	@$(BIN)/labs fetch
	$(BIN)/python -m pytest -n auto --maxprocesses 4
	$(PAGES)

# The pages show what the tests ran. CHAPTERS="04 11" runs only these, and makes a preview without the others' outputs.
PAGES = $(BIN)/python -m book $(CHAPTERS) && LABS_SITE=book/_build/html $(BIN)/python -m pytest -n 2 --dist load tests/pages/test_site.py

docs: .venv/.test
	@$(BIN)/labs fetch
	$(PAGES)

test-twice: .venv/.test
	@$(BIN)/labs fetch
	$(BIN)/python -m tests.chapters.run_twice

test-elsewhere: .venv/.test
	LABS_ELSEWHERE=1 $(BIN)/python -m pytest tests/elsewhere

# tests/test_style.py holds these
style: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

build: .venv/.test
	$(BIN)/labs build

bench: .venv/.test
	$(BIN)/python -m benchmarks

bench-models: .venv/.test
	$(BIN)/python -m data.recipes.measure

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "The workbook needs Python 3.11 or newer, and $(PYTHON) is older. Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.lab: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing the workbook into .venv; the first time this takes a few minutes."
	$(PIP) $(CONSTRAINTS) -e '.[lab,inference]'
	@touch $@

.venv/.test: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing the workbook and its tests into .venv; the first time this takes a few minutes."
	$(PIP) $(CONSTRAINTS) -e '.[test,docs,inference,classroom]'
	@touch $@ .venv/.lab

# The exact versions that were tested: what a fresh install without constraints brings.
constraints:
	rm -rf .venv && $(PYTHON) -m venv .venv && $(PIP) torch==2.13.0 && $(PIP) -e '.[test,docs,inference,classroom]'
	$(BIN)/python -m pip list --format=freeze --exclude-editable | sed 's/+.*//' | grep -vE '^(pip|setuptools|transformers-workbook)==' > constraints.txt

clean:
	rm -rf .venv

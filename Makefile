# Set-up needs python3 (3.11 or later, with venv), make and the package index; every target does it first, once.
# Written for GNU make 3.81, which macOS still has.

PYTHON ?= python3
# More than a small machine has processors: tests wait about half of their time, for servers and for time to pass.
TEST_PROCESSES ?= 4
# What one process has compiled, the others need not compile again.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed
COLLECTED := $(VENV)/.collected
# Stands while packages are being installed: found at the start, it says that an install was interrupted.
UNFINISHED := $(VENV)/.install-unfinished
# Real clients are tested on Node.js 20 or later: the machine's, or else one from the package index.
HAS_NODE := { npm --version && node -e 'process.exit(process.versions.node.split(".")[0] < 20)'; } >/dev/null 2>&1
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# uv installs in a fifth of the time. It does not know of an index that pip is told to use instead of the public one: then,
# or where uv cannot be had or finds no way out, pip does it. Compiled is what is imported, then: most never is.
ANOTHER_INDEX := $(PIP) config list | grep -q '[.]index-url=\|[.]no-index='
GET_UV := { [ -x $(BIN)/uv ] || $(PIP) install --no-compile --only-binary :all: --require-hashes -r requirements-install.lock; }
USE_UV := UV_HTTP_TIMEOUT=15 $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes
install = { { ! { $(ANOTHER_INDEX); } && $(GET_UV) && $(USE_UV) -r $(1); } 2>/dev/null \
	  || $(PIP) install --no-compile --require-hashes -r $(1); }

.DEFAULT_GOAL := help
.PHONY: help up demo test lint fmt schema bench faults types style collected tested

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

up: $(RUNTIME) ## Start everything: make up PORT=8000 DATA_DIR=.turnero SEED=0
	@exec $(BIN)/turnero up $(if $(PORT),--port "$(PORT)") $(if $(DATA_DIR),--data-dir "$(DATA_DIR)") $(if $(filter 0 no false,$(SEED)),--no-seed)

demo: $(RUNTIME) ## A guest's journey against the running server: make demo PORT=8000
	@exec $(BIN)/turnero demo $(if $(PORT),--port "$(PORT)")

test: $(DEV) ## All checks, then the tests (without the long fault runs)
	@$(MAKE) --no-print-directory -j 3 types tested

lint: style types ## Style, types, architecture, and files made from the code

types: $(DEV)
	@$(BIN)/mypy --no-error-summary

style: $(DEV)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-cache > $(VENV)/lint-imports.txt || { cat $(VENV)/lint-imports.txt; exit 1; }
	@$(BIN)/turnero export-schema --check
	@$(BIN)/turnero settings-doc --check

# The first time every test is read once, beside the types, so that the test processes find them compiled.
collected: $(COLLECTED)

$(COLLECTED): $(DEV)
	@$(BIN)/python -m pytest -n 0 --collect-only > $(VENV)/collected.txt || { cat $(VENV)/collected.txt; exit 1; }
	@touch $@

# Beside the types, which take one processor a minute when nothing is kept of an earlier run.
tested: style collected
	@exec $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal -m "not faults"

fmt: $(DEV) ## Format, and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

schema: $(RUNTIME) ## Write schema.graphql and docs/settings.md
	@$(BIN)/turnero export-schema
	@$(BIN)/turnero settings-doc

bench: $(DEV) ## Benchmarks
	@exec $(BIN)/python -m bench

faults: $(DEV) ## Long runs that kill processes in the middle of bookings
	@exec $(BIN)/python -m pytest -n 0 -s -m faults

# Stamps are touched last, by `&&`: an interrupted install leaves none, and the next run starts from a clean folder.
$(RUNTIME): requirements.lock requirements-install.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Turnero needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module (Debian and Ubuntu: apt-get install python3-venv)." >&2; exit 1; }
	@if [ -e $(UNFINISHED) ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then $(PYTHON) -m venv --clear $(VENV); fi
	@echo "Installing packages into $(VENV) ..."
	@touch $(UNFINISHED) \
	  && $(call install,requirements.lock) \
	  && $(PIP) install --no-deps --no-build-isolation -e . \
	  && rm $(UNFINISHED) && touch $@

$(DEV): requirements-dev.lock requirements-node.lock $(RUNTIME)
	@echo "Installing development packages into $(VENV) ..."
	@touch $(UNFINISHED) \
	  && $(call install,requirements-dev.lock) \
	  && { $(HAS_NODE) || $(call install,requirements-node.lock); } \
	  && rm $(UNFINISHED) && touch $@

# Everything starts here; `make help` lists it. Python 3.11 or newer and make are all that is needed:
# the packages come from requirements/*.txt, each checked against its hash, into a virtual environment of this folder.

VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
UV ?= uv
PYTEST_ARGS ?=
BENCHES ?=

# The first interpreter that is new enough; `make PYTHON=python3.13 …` chooses another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && { echo $$python; break; }; done)

PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE := $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --quiet

.DEFAULT_GOAL := help
.PHONY: help run test test-all lint format bench docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.base ## start the demo home: all six services in one process; Ctrl-C stops it
	@exec $(BIN)/energy-tracker demo

test: $(VENV)/.dev ## run every test that needs no server, in about two minutes
	$(BIN)/python -m pytest -m 'not servers' -n $(WORKERS) $(PYTEST_ARGS)

test-all: $(VENV)/.dev ## run every test, also those on the servers that ENERGY_TEST_* variables name
	HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-thorough} $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(PYTEST_ARGS)

lint: $(VENV)/.dev ## check style, format, types and the import walls
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## rewrite the code in the project's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.dev ## measure everything, in ten minutes (BENCHES="queries": only those); see bench/README.md
	$(BIN)/python -m bench $(BENCHES)

docs: $(VENV)/.dev ## write docs/reference anew from the code
	$(BIN)/python docs/generate.py

lock: ## resolve requirements/*.txt anew from pyproject.toml (needs uv)
	$(COMPILE) pyproject.toml --output-file requirements/base.txt
	$(COMPILE) pyproject.toml --group dev --output-file requirements/dev.txt
	$(COMPILE) --group build --output-file requirements/build.txt

clean: ## remove what was made here: the virtual environment and the caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .schemathesis dist build
	find src tests bench docs -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp file stands for a finished step, so that the next call is instant.

$(VENV)/.venv:
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c '$(NEW_ENOUGH)'; then \
		echo "Energy Tracker needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.12 …" >&2; exit 1; fi
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv $(VENV) || { \
		echo "The virtual environment cannot be made; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.package: $(VENV)/.venv requirements/build.txt pyproject.toml
	@echo "Installing into $(VENV): once, and again when requirements change."
	$(PIP) install --require-hashes --requirement requirements/build.txt
	$(PIP) install --no-index --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.base: requirements/base.txt $(VENV)/.package
	$(PIP) install --require-hashes --requirement requirements/base.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.package
	$(PIP) install --require-hashes --requirement requirements/dev.txt
	@touch $@ $(VENV)/.base

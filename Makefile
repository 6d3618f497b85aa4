# What people, pre-commit and CI call. `make help` lists it.
HOST ?= 127.0.0.1
PORT ?= 8000
# cpu, cuda, or auto: cuda where an NVIDIA GPU is found.
DEVICE ?= auto
PYTHON ?= python3
RUN = .venv/bin/python

.PHONY: help setup setup-dev serve test lint lint-code lint-lists docs lock upgrade bench figures format clean

help:  ## list these commands
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

setup:  ## create .venv with everything that the service needs
	@PYTHON=$(PYTHON) requirements/install.sh $(DEVICE)

setup-dev:  ## the same, with the tools for tests, linters and load tests
	@PYTHON=$(PYTHON) requirements/install.sh $(DEVICE) dev

serve: setup  ## serve the default model; ARGS="--model FOLDER ..." for more
	@$(RUN) -m service serve --host $(HOST) --port $(PORT) $(ARGS)

test: setup-dev  ## run the tests; ARGS="tests/vision -k batch" for some
	@$(RUN) -m pytest $(ARGS)

lint: lint-code lint-lists  ## ruff, mypy, import-linter, and whether the pinned lists are stale

lint-code: setup-dev
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy
	@.venv/bin/lint-imports

lint-lists: setup-dev
	@requirements/lock.sh --check

format: setup-dev  ## format the code and fix what ruff can fix
	@$(RUN) -m ruff format .
	@$(RUN) -m ruff check --fix .

docs: setup-dev  ## write the parts of docs/reference that come from the code
	@$(RUN) -m docs.generate

lock: setup-dev  ## write requirements/*.txt from pyproject.toml; pins change only where they must
	@requirements/lock.sh

upgrade: setup-dev  ## the same, with the newest versions that pyproject.toml allows
	@requirements/lock.sh --upgrade

bench: setup-dev  ## this service beside two other ways to serve the same weights
	@$(RUN) -m loadtests.bench $(ARGS)

figures: setup-dev  ## measure the default model: the table that closes the README
	@$(RUN) -m loadtests.figures $(ARGS)

clean:  ## remove .venv, builds and caches
	rm -rf .venv build dist *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache

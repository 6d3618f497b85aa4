# make serve | test | lint | bench: what people, pre-commit and CI call.
HOST ?= 127.0.0.1
PORT ?= 8000
# cpu, cuda, or auto: cuda where an NVIDIA GPU is found.
DEVICE ?= auto
PYTHON ?= python3
RUN = .venv/bin/python

.PHONY: setup setup-dev serve test lint bench figures format clean

setup:  ## create .venv with everything the service needs
	@PYTHON=$(PYTHON) requirements/install.sh $(DEVICE)

setup-dev:
	@PYTHON=$(PYTHON) requirements/install.sh $(DEVICE) dev

serve: setup  ## serve the default model; ARGS="--model FOLDER ..." for more
	@$(RUN) -m service serve --host $(HOST) --port $(PORT) $(ARGS)

test: setup-dev  ## run the tests; ARGS="-k name" for some
	@$(RUN) -m pytest $(ARGS)

lint: setup-dev
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy

bench: setup-dev  ## this service beside two other ways to serve the same weights
	@$(RUN) -m loadtests.bench $(ARGS)

figures: setup-dev  ## measure the default model: the table that closes the README
	@$(RUN) -m loadtests.figures $(ARGS)

format: setup-dev
	@$(RUN) -m ruff format .
	@$(RUN) -m ruff check --fix .

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

# The commands that the README names. All set-up is done here: on a bare Debian or Ubuntu as root nothing else is needed.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
# Tests wait for machines and clouds about as long as they compute.
WORKERS ?= $(shell expr $$(nproc) \* 2)
# Tests start lkcloud hundreds of times: its bytecode is kept, also where the environment says that none shall be.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-long fuzz lint types documents format bench checkov docs lock setup clean

demo: setup  ## push a disk to clouds on this machine, by each of their ways, and boot what came of it
	@PATH="$(CURDIR)/$(BIN):$$PATH" tests/demo.sh

test: setup lint  ## everything that CI runs
	@$(BIN)/python -m pytest -q -rs -n $(WORKERS) --dist worksteal

test-long: setup  ## the long forms of the slow suites
	@PYTHON="$(PYTHON)" tests/packages.sh long
	@$(BIN)/python -m pytest -q -rs -m long --timeout=3600

fuzz: setup  ## ten minutes of bytes that nobody meant for the readers of disks
	@$(PIP) --require-hashes -r tests/fuzz/requirements.txt
	@$(BIN)/python -m tests.fuzz.long_form

lint: setup  ## types, style, and documents that still say what the code does
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory --jobs=2 --output-sync types documents

types: setup
	@$(BIN)/mypy

documents: setup
	@$(BIN)/python docs/generate.py --check

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: setup  ## write the generated parts of the documents anew
	@$(BIN)/python docs/generate.py

bench: setup  ## time the transfers against the tools that people use today
	@$(BIN)/python tests/bench/run.py

checkov: setup  ## what Checkov, in an environment of its own, finds in terraform/
	@PYTHON="$(PYTHON)" $(BIN)/python -m pytest -q -m long tests/terraform/test_checkov.py

LOCKED = $(BIN)/uv pip compile --generate-hashes --no-emit-index-url --universal --python-version 3.11 --no-header --upgrade -q
lock: setup  ## take the newest versions that pyproject.toml allows
	@$(BIN)/pip install -q --upgrade uv
	@$(LOCKED) --all-extras --group dev pyproject.toml -o requirements.lock
	@echo uv | $(LOCKED) - -o tests/uv.txt

setup: $(VENV)/.done
$(VENV)/.done: requirements.lock pyproject.toml tests/packages.sh tests/uv.txt tests/npm/package-lock.json
	@PYTHON="$(PYTHON)" tests/packages.sh
	@$(MAKE) --no-print-directory --jobs=2 npm-packages python-packages
	@touch $@

.PHONY: npm-packages python-packages
npm-packages:
	@tests/packages.sh npm

python-packages:
	@$(PYTHON) -m venv $(VENV)
	@# uv takes a third of pip's time; it does not know pip's configuration, and where that is needed pip does it.
	@$(PIP) --require-hashes -r tests/uv.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock \
	    || $(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .cache

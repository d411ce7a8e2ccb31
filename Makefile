# Everything here needs only Python 3.11+, make and git; `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLIENTS := tests/clients/node/node_modules/.ready
ASSETS := assets/node_modules/.ready
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types imports format bench chaos chromium assets messages lock clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## Make the virtual environment, with every package pinned by hash

$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Nicobar needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 ...")'
	@echo "Setting up $(VENV) (once, about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## Run the main job on sample events, no account needed (ARGS=--once ends by itself)
	@$(BIN)/nicobar demo $(ARGS)

test: $(READY) $(CLIENTS) $(ASSETS) chromium lint types imports ## Run every check that CI runs
	@$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 $(ARGS)

$(CLIENTS): $(READY) tests/clients/node/package-lock.json
	@cd tests/clients/node && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

$(ASSETS): $(READY) assets/package-lock.json
	@cd assets && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(READY)
	@$(BIN)/mypy

imports: $(READY)
	@$(BIN)/lint-imports --no-cache

format: $(READY) ## Format the code and mend what can be mended by itself
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(READY) ## Measure throughput, latency, CPU and memory (ARGS="whole --keep FILE", "--compare FILE")
	@PYTHONPATH=.:tests $(BIN)/python -m bench $(ARGS)

chaos: $(READY) ## Kill the server at every stage, hundreds of times, and count what is lost (ARGS="--seed N")
	@PYTHONPATH=tests $(BIN)/python -m chaos.run $(ARGS)

.PHONY: dev
dev: $(READY) ## Run Nicobar and the emulator on this machine, restarted when the source changes
	@$(BIN)/python scripts/dev.py

assets: $(ASSETS) ## Build the dashboard's editor anew from assets/
	@cd assets && PATH="$(CURDIR)/$(BIN):$$PATH" node build.mjs ../src/nicobar/web/dashboard/static/vendor

messages: $(READY) ## Gather the dashboard's texts and compile their translations
	@$(BIN)/python scripts/messages.py

chromium:
	@sh scripts/chromium.sh

lock: $(READY) ## Write constraints.txt anew from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --custom-compile-command 'make lock' --quiet --upgrade --output-file constraints.txt

clean: ## Remove the virtual environment and caches
	@rm -rf $(VENV) tests/clients/node/node_modules assets/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Requires only Python 3.11+, make and git. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
READY := $(VENV)/.ready
CLIENTS := tests/clients/node/node_modules/.ready
ASSETS := assets/node_modules/.ready
TOOLS := $(VENV)/.tools
# Tests without a running server, a browser, Node or root.
UNIT := tests/connectors tests/contracts tests/recipes tests/sandbox tests/store tests/words
ARGS ?=
# Tests start many processes: each would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo check test lint spelling types imports unit format bench chaos chromium assets messages recipes screenshots wheels lock clean pgbouncer

help: ## List the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## Create the development environment (packages pinned by hash)

# The runtime packages; development packages are installed on top.
$(RUNTIME): constraints-runtime.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Nicobar requires Python 3.11 or newer. This is Python " + sys.version.split()[0] + ". Choose another one: make PYTHON=python3.12 ...")'
	@echo "Setting up $(VENV) (once, less than a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-runtime.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(READY): $(RUNTIME) constraints.txt
	@echo "Installing the development packages (once, about a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@touch $@

demo: $(RUNTIME) ## Deliver sample events to the Customer.io emulator on this machine; no account needed (ARGS=--once exits when done)
	@$(BIN)/nicobar demo $(ARGS)

check: $(READY) ## Lint, spelling, types, imports, unit and contract tests (about a minute on 2 cores; no root, browser or Node)
	@$(MAKE) --no-print-directory -j4 lint spelling types imports unit

# One process more than cores: a fifth of the time, a test waits for other processes.
test: $(READY) ## Run everything that CI runs
	@$(MAKE) --no-print-directory -j4 $(CLIENTS) $(ASSETS) chromium pgbouncer lint spelling types imports
	@$(BIN)/python -m pytest --numprocesses=$$(($$(getconf _NPROCESSORS_ONLN) + 1)) --maxprocesses=8 --dist=worksteal $(ARGS)

unit: $(READY)
	@$(BIN)/python -m pytest --quiet --numprocesses=auto --maxprocesses=8 --dist=worksteal -m "not slow" $(UNIT) $(wildcard tests/test_*.py) $(ARGS)

# What is installed for make audit and make fuzz alone.
$(TOOLS): $(READY) constraints-tools.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-tools.txt
	@touch $@

$(CLIENTS): $(READY) tests/clients/node/package-lock.json
	@cd tests/clients/node && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

$(ASSETS): $(READY) assets/package-lock.json
	@cd assets && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

spelling: $(READY)
	@$(BIN)/typos

types: $(READY)
	@$(BIN)/mypy

imports: $(READY)
	@$(BIN)/lint-imports --no-cache

format: $(READY) ## Format the code and apply automatic lint fixes
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(READY) ## Measure throughput, latency, CPU and memory (ARGS="whole --keep FILE", "--compare FILE", "--postgresql")
	@PYTHONPATH=.:tests $(BIN)/python -m bench $(ARGS)

chaos: $(READY) ## Kill the server at every stage, hundreds of times, and check that no event is lost (ARGS="--seed N", ARGS=--postgresql)
	@PYTHONPATH=tests $(BIN)/python -m chaos.run $(ARGS)

.PHONY: audit sbom fuzz
audit: $(TOOLS) ## Ask PyPI and the npm registry for known vulnerabilities of all pinned packages (nothing else sends them the list)
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r constraints-runtime.txt -r constraints.txt -r constraints-tools.txt
	@for place in assets tests/clients/node; do \
	  (cd $$place && PATH="$(CURDIR)/$(BIN):$$PATH" npm audit --package-lock-only) || exit 1; \
	done

sbom: $(READY) ## Write what an installation consists of as CycloneDX JSON (to .build/nicobar.cdx.json, or ARGS=FILE; offline)
	@$(BIN)/python scripts/sbom.py $(ARGS)

fuzz: $(TOOLS) ## Feed changed inputs to every parser for a long time (ARGS="TARGET ... --executions N --seconds S")
	@PYTHONPATH=tests $(BIN)/python -m fuzz.run $(ARGS)

.PHONY: dev
dev: $(READY) ## Run Nicobar and the Customer.io emulator, restarted when the source changes
	@$(BIN)/python scripts/dev.py

assets: $(ASSETS) ## Rebuild the dashboard's editor from assets/
	@cd assets && PATH="$(CURDIR)/$(BIN):$$PATH" node build.mjs ../src/nicobar/web/dashboard/static/vendor

messages: $(READY) ## Extract the dashboard's texts and compile the translations
	@$(BIN)/python scripts/messages.py

recipes: $(READY) ## Build the ready-made handlers from their parts
	@$(BIN)/python scripts/recipes.py

screenshots: $(READY) chromium ## Take the screenshots in docs/
	@PYTHONPATH=tests $(BIN)/python scripts/screenshots.py

chromium:
	@sh scripts/chromium.sh

# Not beside Chromium's: apt-get installs for one at a time.
pgbouncer: chromium
	@sh scripts/pgbouncer.sh

wheels: $(READY) ## Download the runtime packages as wheels for every supported platform
	@$(BIN)/python scripts/wheels.py

LOCK_OPTIONS = --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
  --custom-compile-command 'make lock' --quiet
LOCK = $(BIN)/uv pip compile pyproject.toml --extra build --extra oidc --extra postgresql $(LOCK_OPTIONS)
LOCK_TOOLS = $(BIN)/uv pip compile --group audit --group fuzz $(LOCK_OPTIONS)
lock: $(READY) ## Pin the newest package versions that pyproject.toml allows
	@$(LOCK) --extra dev --upgrade --output-file constraints.txt
	@$(LOCK) --constraint constraints.txt --upgrade --output-file constraints-runtime.txt
	@$(LOCK_TOOLS) --constraint constraints.txt --upgrade --output-file constraints-tools.txt

clean: ## Remove the virtual environment and caches
	@rm -rf $(VENV) tests/clients/node/node_modules assets/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz

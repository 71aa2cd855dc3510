# One command for each thing that is done to this tree; `make help` lists them.

PYTHON ?= $(shell /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
            && echo /usr/bin/python3 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.complete
PYTEST := $(BIN)/python -m pytest -q
CODE   := agent tests

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install venv servers fmt lint type imports sizes unit check \
        integration system test demo clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## install the Debian packages of tests/tools/packages.txt that are missing (root)
	@tests/tools/install

venv: $(STAMP) ## make the virtual environment with the pinned versions

# The stamp is the last thing written: an interrupted installation is taken up again.
$(STAMP): pyproject.toml constraints.txt tests/tools/requirements.py
	@test -n "$(PYTHON)" || { echo "missing: python3, 3.11 or later"; exit 1; }
	@$(PYTHON) tests/tools/requirements.py >/dev/null
	$(PYTHON) -m venv $(VENV)
	$(PYTHON) tests/tools/requirements.py | $(BIN)/python -m pip install --quiet -c constraints.txt -r /dev/stdin
	@touch $@

servers: venv ## fetch the ACME servers and the DNS library that tests know; what cannot be had is skipped
	@tests/tools/servers $(BIN)/python

fmt: venv ## format, and repair what ruff can repair
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

lint: venv ## ruff: every rule (docstrings as well), and the format
	$(BIN)/ruff format --check --quiet $(CODE)
	$(BIN)/ruff check --quiet $(CODE)

type: venv ## mypy --strict, on the tests as well
	$(BIN)/mypy

imports: venv ## imports point down, the core is pure
	$(BIN)/lint-imports

sizes: venv ## files, functions and the median function stay small
	$(BIN)/python -m tests.tools.sizes $(CODE)

unit: venv ## unit and property tests, on every core: no root, no network, no packages
	$(PYTEST) -n auto --maxprocesses 8 tests/unit tests/property

check: venv ## everything that needs neither root nor network
	@$(MAKE) --no-print-directory --output-sync=target --keep-going -j2 \
	    unit lint type imports sizes

integration: venv ## tests on real parts: Pebble, SoftHSM2, a TPM simulator, nginx
	$(PYTEST) tests/integration

system: venv ## tests in a booted systemd (root)
	$(PYTEST) tests/system

test: ## install what is missing, then check, integration and system
	@$(MAKE) --no-print-directory install
	@$(MAKE) --no-print-directory servers
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory integration
	@$(MAKE) --no-print-directory system

demo: ## the main job on real parts (root); SCENARIO=5g: two network functions; KEEP=1 leaves it running, TOKEN=tpm uses a TPM
	@tests/tools/install
	@$(MAKE) --no-print-directory --quiet venv
	@$(BIN)/python -m tests.demo

clean: ## remove what was made here, the virtual environment included
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf .coverage .scratch build *.egg-info
	find agent tests -name __pycache__ -type d -prune -exec rm -rf {} +

# What a newcomer needs: `make demo` and `make test`. Everything lives in .venv in this folder.
#
#   make demo                 train on MNIST, write demo-report/
#   make test, make test-all  the tests without those marked slow, and with them
#   make lint                 ruff and pyright
#   make bench WORKLOAD=mlp   the benchmarks, or one of them
#   make clean                remove .venv, .venv-bench and everything that was built
#
# PYTHON=python3.12 chooses the Python that .venv is made with; it must be 3.11 or newer.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

VENV := .venv
BENCH_VENV := .venv-bench
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
KERNELS := setup.py $(wildcard nacre/kernels/src/*)
BENCH_PIP := $(BENCH_VENV)/bin/python -m pip --disable-pip-version-check install --quiet
SHARED_DATA := $(abspath ../shared/data)
WORKLOAD ?=
# Two processes; a file's tests stay together, so that they share what they compile.
PYTEST_OPTIONS ?= -n 2 --dist loadfile

# A copy of the data sets beside the checkout is used unless NACRE_DATA says otherwise.
ifeq ($(origin NACRE_DATA),undefined)
ifneq ($(wildcard $(SHARED_DATA)),)
export NACRE_DATA := $(SHARED_DATA)
endif
endif

.PHONY: help demo test test-all lint bench clean

help:
	@sed -n 's/^#   //p' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.demo
	@$(BIN)/python -m nacre demo --output demo-report

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_OPTIONS)

test-all: $(VENV)/.dev
	$(BIN)/python -m pytest $(PYTEST_OPTIONS)

lint: $(VENV)/.dev
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m pyright

bench: $(BENCH_VENV)/.peers
	@$(BENCH_VENV)/bin/python -m benchmarks $(WORKLOAD)

clean:
	rm -rf $(VENV) $(BENCH_VENV) build dist *.egg-info demo-report .pytest_cache .ruff_cache .hypothesis
	rm -f nacre/kernels/_native*
	find nacre tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are newer than pyproject.toml and the kernels' sources when the environment is up to date.

$(VENV)/.python:
	@python="$(PYTHON)"; \
	for found in $${python:-python3 python3.13 python3.12 python3.11 python}; do \
	  if "$$found" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making $(VENV) with $$("$$found" --version) ..."; \
	    "$$found" -m venv $(VENV); touch $@; exit 0; \
	  fi; \
	done; \
	echo "Nacre needs Python 3.11 or newer, and found none. Install one, or name it:" >&2; \
	echo "  make demo PYTHON=/path/to/python3.12" >&2; \
	exit 1

$(VENV)/.demo: pyproject.toml $(KERNELS) | $(VENV)/.python
	@echo "Installing Nacre and what the demo needs into $(VENV) (once; some minutes) ..."
	@$(PIP) -e ".[demo]"
	@touch $@

# PyTorch comes first and in one exact version, so that pip does not choose a build with CUDA.
$(VENV)/.dev: pyproject.toml $(KERNELS) | $(VENV)/.python
	@echo "Installing Nacre and its tests' oracles into $(VENV) (once; some minutes) ..."
	@$(PIP) torch==2.13.0
	@$(PIP) -e ".[demo,dev]"
	@touch $@ $(VENV)/.demo

# A peer that cannot be installed is left out of the benchmarks, by name.
$(BENCH_VENV)/.peers: pyproject.toml $(KERNELS) | $(VENV)/.python
	@echo "Installing Nacre and its peers into $(BENCH_VENV) (once; some minutes) ..."
	@$(BIN)/python -m venv $(BENCH_VENV)
	@$(BENCH_PIP) -e ".[demo]"
	@for peer in torch==2.13.0 keras lightning tensorflow-cpu; do \
	  $(BENCH_PIP) $$peer || echo "Left out: $$peer could not be installed."; \
	done
	@touch $@

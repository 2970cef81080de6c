# Everything a new user needs: `make run`, `make test`. Both set up .venv first; nothing is installed or written outside
# this folder. `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first interpreter that there is a lock for, on this system's C library. Another one: make run PYTHON=/path/to/it
FOUND := $(shell tools/find_python.sh $(PYTHON))
LOCK := $(if $(filter newer,$(word 2,$(FOUND))),requirements/newer.lock,requirements.lock)
# CUDA's libraries come with the set-up where an NVIDIA driver answers; `make run GPU=0` leaves them out.
GPU ?= $(if $(shell nvidia-smi -L 2>/dev/null),1,0)
UV_VERSION := 0.13.8
WORKDIR ?= runs/demo
# As many scenes as leave room for a search in eight minutes on two slow cores; with the set-up they are less than ten.
DEMO := road_scenes:train=128,val=60,test=200

# Caches of the installers and of the libraries' own downloads stay in the project folder.
CACHE := $(CURDIR)/.cache
export UV_CACHE_DIR := $(CACHE)/uv
export PIP_CACHE_DIR := $(CACHE)/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export XDG_CACHE_HOME := $(CACHE)
export XDG_CONFIG_HOME := $(CACHE)/config
export KERAS_HOME := $(CACHE)/keras
export TFDS_DATA_DIR := $(CACHE)/tensorflow_datasets
export TFHUB_CACHE_DIR := $(CACHE)/tfhub
export MPLCONFIGDIR := $(CACHE)/matplotlib
export IPYTHONDIR := $(CACHE)/ipython
export JUPYTER_CONFIG_DIR := $(CACHE)/jupyter
export JUPYTER_DATA_DIR := $(CACHE)/jupyter
export CUDA_CACHE_PATH := $(CACHE)/cuda

LOCKS := $(LOCK) $(if $(filter 1,$(GPU)),requirements/gpu.lock)
# The stamp's name holds what the set-up was made from, so a changed lock sets up again and a mere `git checkout` does not.
STAMP := .venv/.ready-$(shell cat $(LOCKS) setup.py Makefile | cksum | cut -d' ' -f1)
BIN := .venv/bin
# Two worker processes share the cores: without caps each would start a thread per core for every library.
TEST_ENV := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 TF_CPP_MIN_LOG_LEVEL=2

.PHONY: help setup run test test-all unit lint docs format lock clean

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP)  ## Make .venv from the lock that fits this system (done by the others where needed).

# Always from an empty .venv: an interrupted set-up leaves no stamp, and the next call starts over from the cache.
# Bytecode is compiled here: with PYTHONDONTWRITEBYTECODE, as images often have it, every start would compile TFX anew.
$(STAMP):
	@if [ "$(word 1,$(FOUND))" = none ]; then tools/find_python.sh $(PYTHON) | cut -d' ' -f2- >&2; exit 2; fi
	@echo "Setting up .venv (about a minute; a later call skips this) ..."
	@$(word 1,$(FOUND)) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	@VIRTUAL_ENV="$(CURDIR)/.venv" $(BIN)/uv pip sync --quiet --compile-bytecode $(LOCKS)
	@VIRTUAL_ENV="$(CURDIR)/.venv" $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: $(STAMP)  ## Tune, train, evaluate and export a detector on the embedded dataset.
	@$(BIN)/ssd-tuner run --dataset=$(DEMO) --max_minutes=8 --epochs=10 --set=model.alpha=0.35 --set=input.batch_size=8 \
		--tune=model.alpha,input.batch_size,optimizer.learning_rate --workdir=$(WORKDIR)

# One session for all, whose two processes import TensorFlow once; each file is run by one of them.
PYTEST := $(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=20
ALL_TESTS := tests/e2e tests/integration tests/unit

test: $(STAMP)  ## Run the tests.
	@$(PYTEST) -m "not slow" $(ALL_TESTS)

test-all: $(STAMP)  ## Run the tests and what repeats them with more pairs, kills and strategies.
	@$(PYTEST) $(ALL_TESTS)

unit: $(STAMP)  ## Run the quick tests alone.
	@$(PYTEST) tests/unit

lint: $(STAMP)  ## Check style, format and types.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --cache-dir=$(CACHE)/mypy

docs: $(STAMP)  ## Make the pages and the API reference, in build/docs.
	@$(BIN)/mkdocs build --strict --quiet
	@echo "See build/docs/index.html"

format: $(STAMP)  ## Mend what can be mended of style and format.
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(STAMP)  ## Renew the locks from the ranges in setup.py.
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --no-emit-index-url \
		--no-emit-find-links --override requirements/overrides.txt --extra pipeline --extra dev --extra kubeflow --extra mlflow --extra dashboard --extra ray setup.py -o requirements.lock
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --upgrade --python-version 3.13 --no-emit-index-url \
		--python-platform x86_64-manylinux_2_39 --no-emit-find-links --override requirements/overrides_newer.txt \
		--extra pipeline --extra dev --extra kubeflow --extra mlflow --extra dashboard --extra ray setup.py -o requirements/newer.lock
	@{ echo "# What 'tensorflow[and-cuda]' adds to requirements.lock, made by 'make lock'."; \
		echo 'tensorflow[and-cuda]' | $(BIN)/uv pip compile --quiet --python-version 3.11 --no-emit-index-url \
			--no-emit-find-links --no-header --no-annotate --constraint requirements.lock - | grep '^nvidia-'; } \
		> requirements/gpu.lock

clean:  ## Remove .venv, caches and build leftovers; runs/ stays.
	@rm -rf .venv .cache build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

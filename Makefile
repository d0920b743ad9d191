# `make verify` and `make test` need only Python >= 3.11 and make; each makes its own environment.
#   make verify PYTHON=python3.13      another interpreter
#   make verify CONSTRAINTS=           the newest versions instead of those in constraints.txt

PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
ARGS ?=

SOURCES := $(shell find refimpl verification -name '*.py' -o -name '*.json' 2>/dev/null) setup.cfg pyproject.toml README.md
PIP_FLAGS := --quiet --quiet --disable-pip-version-check $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
PYTEST := .venv-test/bin/python -P -m pytest

.PHONY: help verify test test-all conformance mutants lint clean

help:
	@echo "make verify     install into .venv and check every claim on built-in data (ARGS=... passes options on)"
	@echo "make test       install into a fresh .venv-test, then lint, types, documentation examples and tests"
	@echo "make test-all   the same with the long suite"
	@echo "make conformance   install into a fresh .venv-conformance; PyTorch and JAX against the golden vectors"
	@echo "make mutants    small faults in the source, in a temporary copy: do the tests see them? (needs .venv-test, of make test)"
	@echo "make clean      remove environments and caches"

verify: .venv/installed
	@.venv/bin/implicit-bias verify $(ARGS)

.venv/installed: $(SOURCES) $(CONSTRAINTS)
	@echo "installing into .venv ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; found " + sys.version.split()[0] + ". Try: make PYTHON=python3.11")'
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install $(PIP_FLAGS) --force-reinstall --no-deps .
	@.venv/bin/python -m pip install $(PIP_FLAGS) ".[exact]"
	@touch $@

# A fresh environment each time, and the package installed as a built wheel: a green run proves the install.
.venv-test/installed: FORCE
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; found " + sys.version.split()[0])'
	rm -rf .venv-test build dist
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/python -m pip wheel $(PIP_FLAGS) --no-deps --wheel-dir dist .
	.venv-test/bin/python -m pip install $(PIP_FLAGS) "implicit-bias-refimpl[test] @ file://$(CURDIR)/$$(ls dist/*.whl)"
	@touch $@
FORCE:

lint:
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy

test: .venv-test/installed lint
	OMP_NUM_THREADS=1 IMPLICIT_BIAS_EXPECT_INSTALLED=1 $(PYTEST) -n 2 --durations=10 $(ARGS)

test-all: .venv-test/installed lint
	OMP_NUM_THREADS=1 IMPLICIT_BIAS_EXPECT_INSTALLED=1 HYPOTHESIS_PROFILE=thorough $(PYTEST) -n 2 --durations=20 $(ARGS)

mutants:
	@test -x .venv-test/bin/python || { echo "make mutants needs .venv-test: run make test first"; exit 2; }
	.venv-test/bin/python scripts/mutants.py $(ARGS)

# The constraints pin a PyTorch; where the index offers its CPU build, or PIP_EXTRA_INDEX_URL names an index that does, that
# one is taken. Everything runs on the CPU in any case.
conformance:
	rm -rf .venv-conformance
	$(PYTHON) -m venv .venv-conformance
	.venv-conformance/bin/python -m pip install $(PIP_FLAGS) ".[conformance,torch,jax]"
	for dtype in float64 float32 bfloat16; do \
	  for name in pytorch jax; do \
	    .venv-conformance/bin/implicit-bias conformance --dtype $$dtype --implementation verification.adapters.$$name:implementation || exit 1; \
	  done; \
	done

clean:
	rm -rf .venv .venv-test .venv-conformance build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

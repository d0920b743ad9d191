# `make verify` and `make test` need only Python >= 3.11 and make; each makes its own environment.
#   make verify PYTHON=python3.13      another interpreter
#   make verify CONSTRAINTS=           the newest versions instead of those in constraints.txt

PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
ARGS ?=

SOURCES := $(shell find refimpl verification -name '*.py' -o -name '*.json' 2>/dev/null) setup.cfg pyproject.toml README.md
PIP_FLAGS := --quiet --quiet --disable-pip-version-check $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
PYTEST := .venv-test/bin/python -P -m pytest

.PHONY: help verify test test-all conformance browser-check docs mutants lint clean

help:
	@echo "make verify     install into .venv and check every claim on built-in data (ARGS=... passes options on)"
	@echo "make test       install into a fresh .venv-test, then lint, types, documentation examples and tests"
	@echo "make test-all   the same with the long suite"
	@echo "make conformance   install into a fresh .venv-conformance; PyTorch and JAX against the golden vectors, and networks trained by them audited"
	@echo "make browser-check   install into a fresh .venv-browser; the pages of the commands in headless Chromium, with axe-core"
	@echo "make docs       build the site into build/site; stale outputs and broken links fail"
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
	.venv-conformance/bin/python -m pip install $(PIP_FLAGS) ".[conformance,torch,jax,safetensors]"
	for dtype in float64 float32 bfloat16; do \
	  for name in pytorch jax; do \
	    .venv-conformance/bin/implicit-bias conformance --dtype $$dtype --implementation verification.adapters.$$name:implementation || exit 1; \
	  done; \
	done
	rm -rf out/trained
	for name in pytorch jax; do \
	  .venv-conformance/bin/python scripts/train_example.py --framework $$name --out out/trained/$$name || exit 1; \
	done
	for kind in pytorch/step*.pt pytorch/step*.safetensors jax/step*.npz; do \
	  .venv-conformance/bin/implicit-bias audit --data out/trained/$${kind%%/*}/data.npz --weights "out/trained/$$kind" --slope 0.5 --step-size 8 || exit 1; \
	done

# Needs npm, and Chromium: Debian's package is installed where it is missing and this is root.
CHROMIUM ?= /usr/bin/chromium
browser-check:
	@command -v npm > /dev/null || { echo "npm is needed for axe-core: install the package npm." >&2; exit 2; }
	@test -x $(CHROMIUM) || { test "$$(id -u)" = 0 && apt-get install -y -qq chromium > /dev/null; } || \
	  { echo "Chromium is needed: install the package chromium, or say CHROMIUM=path." >&2; exit 2; }
	rm -rf .venv-browser browser-check
	$(PYTHON) -m venv .venv-browser
	.venv-browser/bin/python -m pip install $(PIP_FLAGS) ".[exact]" playwright
	npm install --silent --no-save --no-package-lock --prefix .venv-browser axe-core
	.venv-browser/bin/python scripts/browser_check.py --browser $(CHROMIUM) --axe .venv-browser/node_modules/axe-core/axe.min.js

# The site needs no network: formulas are Unicode, fonts are the reader's. What the pages say is run again; docs/examples.md
# has commands with limits on time, so its check needs a machine that is not busy.
docs:
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install $(PIP_FLAGS) ".[test,docs,site]"
	OMP_NUM_THREADS=1 .venv-docs/bin/python -P -m pytest tests/test_examples.py tests/test_citations.py tests/scripts/test_site.py
	rm -rf build/site
	.venv-docs/bin/python scripts/site_pages.py build/site-source
	OMP_NUM_THREADS=1 .venv-docs/bin/python -m sphinx -W --keep-going -q build/site-source build/site
	OMP_NUM_THREADS=1 .venv-docs/bin/python scripts/update_examples.py --check
	@echo "build/site/index.html"

clean:
	rm -rf .venv .venv-test .venv-conformance .venv-browser .venv-docs browser-check build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

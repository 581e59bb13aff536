# Every target sets up what it needs and does nothing twice.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
UV_VERSION := 0.13.9
PYTEST := $(BIN)/python -m pytest

.PHONY: run test test-fast lint format bench docs lock clean
.DEFAULT_GOAL := help

.PHONY: help
help:  ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

# uv installs the lock in seconds where pip takes minutes; both check every hash.
$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13)) ' || { echo "chargehouse needs Python 3.11, 3.12 or 3.13; set PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

run: $(INSTALLED)  ## Make the example network, load it and serve its dashboards on 127.0.0.1:8501
	$(BIN)/chargehouse demo

test: $(INSTALLED)  ## All tests: units, models, pipeline, pages, real browser
	@# where PYTHONDONTWRITEBYTECODE is set, each of the many processes of the tests would compile its imports anew
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib
	$(PYTEST) -q -n 2 --dist loadfile tests

test-fast: $(INSTALLED)  ## The unit tests
	$(PYTEST) -q tests/unit

lint: $(INSTALLED)  ## Style and common mistakes, in Python and SQL
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/sqlfluff lint --disable-progress-bar --processes 0 dbt/models

format: $(INSTALLED)  ## Put Python in its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)  ## Measure, as ratios in one run
	$(BIN)/python -m benchmarks

docs: $(INSTALLED)  ## Write docs/reference from the code and the models, and dbt's own site into site/
	$(BIN)/python -m docs.build

lock: $(INSTALLED)  ## Write requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --python-version 3.11 --extra dev -c constraints.txt pyproject.toml -o requirements.lock

clean:  ## Remove the virtual environment and what was built (the home in data/ stays)
	rm -rf $(VENV) dbt/target dbt/logs site artifacts .pytest_cache .ruff_cache

# One verb per line. `make demo` and `make test` do everything on a fresh machine; CI runs the same.
.DELETE_ON_ERROR:
PYTHON ?= python3
OUT ?= demo
BIN := .venv/bin

.PHONY: demo test check docs gallery bench clean

demo: .venv/installed  ## explain a bundled photograph with the bundled network and print where the page is
	$(BIN)/convscope explain sample:cat --out $(OUT)

test: check .venv/installed-test  ## every check and test
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: .venv/installed-test  ## formatting, lint, types, direction of imports
	$(BIN)/ruff format --check src tests gallery benchmarks
	$(BIN)/ruff check src tests gallery benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/installed-docs  ## build the site, strictly
	$(BIN)/mkdocs build --strict

gallery: .venv/installed  ## make every picture of the README and the docs again
	for script in gallery/*.py; do $(BIN)/python $$script || exit 1; done

bench: .venv/installed-test  ## our time, the peers' time, the limit's time, in one run
	$(BIN)/python -m benchmarks

# The virtual environment is made again where the dependencies change.
.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'convscope needs Python 3.11 or newer: make PYTHON=python3.12 ...'; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-test: .venv/installed pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

.venv/installed-docs: .venv/installed-test pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

clean:
	rm -rf .venv site demo

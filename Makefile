# `make demo`, `make test` and `make lint` each work alone from nothing: they set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup

.PHONY: setup demo test slow lint docs format clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt scripts/setup.sh scripts/torch_guard.py
	PYTHON="$(PYTHON)" bash scripts/setup.sh "$(VENV)"
	touch $@

demo: $(STAMP)
	$(BIN)/python examples/demo.py --out out

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_docstrings.py

# Builds the site into out/site; a broken link or anchor or an unknown object of the reference fails.
docs: $(STAMP)
	$(BIN)/zensical build --clean --strict

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

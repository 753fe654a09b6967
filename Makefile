# Two commands matter: `make demo` and `make test`. Everything else is `toolkit --help`.
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock

.PHONY: setup demo test lint bench soak

setup: .venv/.all

demo: .venv/.core
	$(BIN)/toolkit demo --out out/demo

test: .venv/.all
	$(BIN)/python -m pytest -n 3 --dist loadfile

lint: .venv/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.all
	$(BIN)/toolkit bench all --check

soak: .venv/.all
	$(BIN)/python -m pytest -v --no-header -m "slow or soak" $(if $(T),-k $(T))

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"Python 3.11 or newer is needed, {v[0]}.{v[1]} was found; run: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv

.venv/.core: .venv/bin/uv pyproject.toml requirements.lock
	$(UV) -e .
	$(BIN)/toolkit doctor --warm
	@touch $@

.venv/.all: .venv/bin/uv pyproject.toml requirements.lock
	$(UV) -e '.[kite,xts,notebook,dashboards,serve,services,cluster,bench,dev]'
	$(BIN)/toolkit doctor --warm
	@touch $@ .venv/.core

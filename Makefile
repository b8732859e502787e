# FLIP workbench. `make help` lists the commands.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install system demo lab test bench lint format lock clean

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(STAMP) system ## set up .venv and the Debian packages that are needed

$(STAMP): pyproject.toml constraints.txt
	@echo "Installing the Python packages of constraints.txt into $(VENV) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "FLIP needs Python 3.11 or newer: make install PYTHON=python3.11"; exit 1; }
	@$(BIN)/pip install --quiet --constraint constraints.txt uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

system:
	@.ci/system-packages

demo: install ## the main job on real records of four hospitals, end to end
	@$(BIN)/python -m flipnb.demo

lab: install ## the demo federation up, JupyterLab open on the tutorial
	@$(BIN)/python -m flipnb.demo lab

test: install ## all tests
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile tests

bench: install ## measure: NAME=rounds, ONLY="PART …" (LIST=1 names the parts); writes build/bench/NAME.json
	@PYTHONPATH=tests $(BIN)/python -m benchmarks $(NAME) $(if $(ONLY),--only $(ONLY)) $(if $(LIST),--list)

lint: $(STAMP) ## format, style, types, and who may import whom
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## write the code in the house's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(STAMP) ## resolve constraints.txt anew
	@$(BIN)/uv pip compile --quiet pyproject.toml --extra dev --python-version 3.11 --no-header --no-annotate -o constraints.txt

clean: ## stop the demo federation; remove what was built, but not .venv
	@test ! -x $(BIN)/flip || $(BIN)/flip down --quiet || true
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find flipnb tests notebooks -name __pycache__ -type d -prune -exec rm -rf {} +

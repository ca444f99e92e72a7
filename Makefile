# Everything a contributor does. `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
DOCS := $(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs dist/docs
.DEFAULT_GOAL := help

.PHONY: help install lock demo test check docs format clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: .venv/.installed ## Make .venv from requirements.lock (pinned, hashed) and install the project, editable

.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11, 3.12, 3.13 or 3.14 is needed; say which: make install PYTHON=python3.13") if not (3, 11) <= sys.version_info < (3, 15) else None'
	$(PYTHON) -m venv --clear .venv
	sed -n '/^uv==/,/^[a-z].*==/p' requirements.lock | sed -e '$$d' > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

lock: ## Write requirements.lock anew from pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--all-extras pyproject.toml --output-file requirements.lock --quiet

demo: install ## Extract the example documents: server, worker, PostgreSQL, graph, RDF
	$(BIN)/knowledge demo

test: install ## Run the tests: files in two processes, those that mostly wait for a real stack first
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: install ## ruff, pyright (strict; for the oldest Python and for the newest), import-linter, documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/pyright --pythonversion 3.14
	$(BIN)/lint-imports
	$(DOCS)

docs: install ## Build the documentation into dist/docs; a link that leads nowhere is an error
	$(DOCS)

format: install ## Rewrite the code in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Stop the local stack and remove its state and the environment
	-$(BIN)/knowledge down
	rm -rf .venv .knowledge

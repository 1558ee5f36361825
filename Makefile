# Every target does its own set-up: a Python from 3.11 up and this file are all that a fresh machine needs.
# Environments are made under .venvs/ and kept while the dependency groups in pyproject.toml stay as they are.

PYTHON ?= python3
IN = $(PYTHON) -m tools.environments
# What is measured is the newest Python here, as one would deploy it, unless somebody names another.
GIVEN = $(if $(filter file,$(origin PYTHON)),,$(PYTHON))

# What is handed on: make test ARGS="--python 3.12 --loop uvloop -k cancel", make demo ARGS="--rows 10000"
ARGS ?=
BENCH ?= core
SIZE ?= full
SECONDS ?= 600
DOCUMENTED = bulkwriter bulkwriter.backend bulkwriter.contract bulkwriter.testing bulkwriter.backends.sqlite \
	bulkwriter.backends.postgres bulkwriter.backends.mysql bulkwriter.backends.dynamodb bulkwriter.backends.sqlalchemy

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test integration integration-docker faults soak scorecard traps lint lint-style lint-format lint-types lint-surface lint-layers format docs bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Write every Unicode character from 1,000 coroutines, and check what they were told
	@$(IN) demo python examples/unicode_table.py $(ARGS)

test: ## Run tests/ on every Python here, on asyncio, eager tasks and uvloop, and integration/ on real servers
	@$(PYTHON) -m tools.run_tests $(ARGS)

integration: ## Run integration/ alone, on real servers
	@$(PYTHON) -m tools.run_tests --suite integration $(ARGS)

integration-docker: ## Run integration/ on servers in containers (as root on Debian also where there is no engine)
	@$(PYTHON) -m tools.containers $(ARGS)

faults: ## Bring about every fault of each server, and write what callers heard into docs/*-faults.md
	@BULKWRITER_WRITE_FAULTS=yes $(IN) integration python -m pytest -q $(ARGS) integration/postgres/test_faults.py integration/mysql/test_faults.py integration/sqlalchemy/test_faults.py

soak: ## Write to each server for SECONDS (600) while all goes wrong by chance, and compare every answer with the table
	@BULKWRITER_SOAK_SECONDS=$(SECONDS) $(IN) integration python -m pytest -q $(ARGS) integration/truth

scorecard: ## Play the same faults to bulkwriter, its peers and loops by hand, and write docs/scorecard.md
	@$(IN) scorecard python -m scorecard --write $(ARGS)

traps: ## Plant defects that others had into a copy of the sources, and show that the tests notice each
	@$(PYTHON) -m tools.traps $(ARGS)

lint: lint-style lint-format lint-types lint-surface lint-layers ## Run every check that needs no test (-k: also after one failed)

lint-style:
	$(IN) lint ruff check
lint-format:
	$(IN) lint ruff format --check
lint-types:
	$(IN) lint mypy
lint-surface:
	$(IN) lint pyright --verifytypes bulkwriter --ignoreexternal
lint-layers:
	$(IN) lint lint-imports --no-cache

format: ## Put the code in the shape that lint asks for
	$(IN) lint ruff check --fix-only --quiet
	$(IN) lint ruff format

docs: ## Build the reference of the interface into build/docs/
	@$(IN) docs pdoc --docformat google --output-directory build/docs $(DOCUMENTED)

bench: ## Measure side by side with the raw driver and with peers (BENCH=core, sqlite, sqlalchemy, postgres, mysql, dynamodb or imports)
	@$(or $(GIVEN),$(shell $(PYTHON) -m tools.interpreters)) -m tools.environments bench python -m benchmarks.$(BENCH) --size $(SIZE) $(ARGS)

clean: ## Remove the environments and every cache
	rm -rf .venvs .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

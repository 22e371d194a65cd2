# make help tells what there is. Everything runs from a fresh clone; set-up is part of what needs it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
PYTEST := .venv/bin/python -m pytest
# What CI spends its minutes on.
SLOWEST := --durations=20 --durations-min=5
# Tests run in an order that is drawn anew each time; SHUFFLE=n, which the last lines tell, gives the same one again.
SHUFFLE ?= random
ORDER := --shuffle $(SHUFFLE)

# The packages of requirements-dev.txt; a clone without them is set up first.
TOOLS := .venv/bin/lint-imports

.PHONY: help setup setup-runtime fast lint fmt type docs unit spark integration e2e kills mysql test chaos chaos-matrix classes bench bench-quick demo clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: ## .venv, jars, embedded servers; quick when all is there
	@scripts/setup.sh

setup-runtime: ## only what a deployment needs: no tools for tests, no embedded servers
	@SALESTREAM_SETUP=runtime scripts/setup.sh

$(TOOLS):
	@scripts/setup.sh

fast: | $(TOOLS) ## lint, type and unit side by side: before each commit
	@rm -rf $(LANES) && $(MAKE) --no-print-directory --jobs=4 --output-sync=target --keep-going lint type unit-lane-1 unit-lane-2

lint: | $(TOOLS) ## ruff (rules and format), import order of the modules
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports

fmt: | $(TOOLS) ## put the code into ruff's format, and mend what its rules can mend
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

docs: | $(TOOLS) ## write the pages of docs/ that come from the code
	$(PYTHON) -m scripts.generate_docs

type: | $(TOOLS) ## mypy --strict over app, scripts and the helpers of the tests
	.venv/bin/mypy

unit: | $(TOOLS) ## tests without Spark and network, seconds
	$(PYTEST) $(ORDER) tests/unit

# Lanes do one suite side by side (tests/lanes.py): as many as are started, each with what no other has taken.
LANES ?= .cache/lanes
LANE = -p tests.lanes --lanes $(shell mkdir -p $(LANES)/$(1) && echo $(LANES)/$(1))

unit-lane-%: | $(TOOLS)
	@$(PYTEST) $(ORDER) $(call LANE,unit) tests/unit

# The first one begins with what starts the whole job, the others with what needs their cores less.
lane-1: classes
	$(PYTEST) $(ORDER) $(SLOWEST) $(call LANE,e2e) tests/e2e
	$(PYTEST) $(ORDER) $(SLOWEST) $(call LANE,integration) tests/integration

lane-%: classes
	$(PYTEST) $(ORDER) $(SLOWEST) $(call LANE,integration) tests/integration
	$(PYTEST) $(ORDER) $(SLOWEST) $(call LANE,e2e) tests/e2e

spark: | $(TOOLS) ## tests with a local Spark session
	$(PYTEST) $(ORDER) tests/spark

integration: | $(TOOLS) ## tests on the embedded S3 and MySQL
	$(PYTEST) $(ORDER) $(SLOWEST) tests/integration

e2e: classes ## the whole pipeline through ./spark-submit.sh
	$(PYTEST) $(ORDER) $(SLOWEST) tests/e2e --ignore tests/e2e/test_kill_points.py

kills: classes ## every fail point once: the real job is killed there and must recover
	$(PYTEST) $(SLOWEST) tests/e2e/test_kill_points.py

mysql: ## a real MySQL server for the tests, where this machine can get one
	@scripts/fetch_mysql.sh

test: ## all of the above and bench-quick, in lanes side by side, with what each took
	@scripts/test.sh

MINUTES ?= 10
SEED ?= 1
chaos: | $(TOOLS) ## kills and faults at random for MINUTES=10, SEED=1; nothing may be lost or doubled
	$(PYTHON) -m tests.chaos storm --minutes $(MINUTES) --seed $(SEED)

BEGIN ?= 1
chaos-matrix: classes ## every fail point, victim and kind of batch, two hours; POINT=, VICTIM=, KIND=, ROUNDS=1, BEGIN=n choose
	$(PYTHON) -m tests.chaos matrix --point "$(POINT)" --victim "$(VICTIM)" --kind "$(KIND)" --rounds $(or $(ROUNDS),4) --begin $(BEGIN)

classes: | $(TOOLS) ## Spark's classes prepared for the tests' JVMs, which then start faster
	@$(PYTHON) -m tests.class_archive

WORKLOADS ?=
CONTENDERS ?=
SCALE ?= 1
bench: | $(TOOLS) ## Salestream beside the others, three rounds in 60 to 95 minutes on two cores; WORKLOADS=a,c CONTENDERS=salestream,floor ROUNDS=3 SCALE=0.1 choose
	$(PYTHON) -m scripts.bench --workloads "$(WORKLOADS)" --contenders "$(CONTENDERS)" --rounds $(or $(ROUNDS),0) --scale $(SCALE)
	$(PYTHON) -m scripts.bench.report

bench-quick: classes ## the same code on little data, two minutes; checks the results, not the times
	$(PYTHON) -m scripts.bench --quick --workloads "$(WORKLOADS)"

demo: setup ## a tour in under a minute: generate, upload, run, look
	@scripts/demo.sh

clean: ## remove .venv, downloads and caches; .local (data) and checkpoints stay
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build spark-warehouse metastore_db derby.log

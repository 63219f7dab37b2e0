# Everything a developer runs. `make` alone lists the targets.
PYTHON ?= python3
DEV := .venv
DEMO := .venv-demo
LOWEST := .venv-lowest
PEERS := .venv-peers
MLFLOW := .venv-mlflow
# Tests of one file run in one process, those on the stack in one, too (tests/conftest.py). That one mostly waits, so that
# two cores are not busy with two of them.
PYTEST := -m pytest --numprocesses 3 --dist loadfile
export PYTHON
# Hundreds of processes are started here. With this variable, which images of containers set, each would compile every
# module that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo demo-stack
demo: $(DEMO)/.ready ## run the flights pipeline on the embedded store: runs, lineage, statistics
	@$(DEMO)/bin/python examples/flights/run.py

demo-stack: $(DEMO)/.ready stack-up ## send the same to the real collector, Jaeger and Prometheus
	@$(DEMO)/bin/python examples/flights/run.py --stack

.PHONY: test test-fast test-lowest stack-check python-check
test: stack-check $(DEV)/.ready ## run all tests, also on the real stack (Go >= 1.24; root, or Prometheus, Chromium and Java on PATH)
	@$(PYTHON) tools/stack.py build
	@$(DEV)/bin/python $(PYTEST)

test-fast: $(DEV)/.ready ## run the tests that need neither stack, nor browser, nor Java
	@$(DEV)/bin/python $(PYTEST) -m "not stack and not browser and not spark"

test-lowest: $(LOWEST)/.ready ## the same on the lowest versions declared
	@$(LOWEST)/bin/python $(PYTEST) -m "not stack and not browser and not spark and not tools"

.PHONY: soak
soak: stack-check $(DEV)/.ready ## run the reliability tests in full: hundreds of killed processes, a million runs, an hour's outage
	@$(PYTHON) tools/stack.py build
	@MLOTEL_SOAK=1 $(DEV)/bin/python -m pytest tests/reliability

# Before anything is downloaded: what cannot be tested here is told first.
stack-check: python-check
	@$(PYTHON) tools/stack.py check

python-check:
	@tools/venv.sh

.PHONY: lint types layers semconv-check check
lint: $(DEV)/.ready ## ruff: rules and format
	@$(DEV)/bin/ruff check
	@$(DEV)/bin/ruff format --check

types: $(DEV)/.ready ## mypy, strict
	@$(DEV)/bin/mypy

layers: $(DEV)/.ready ## import-linter: imports point downwards
	@$(DEV)/bin/lint-imports --no-logo

semconv-check: $(DEV)/.ready
	@$(DEV)/bin/python tools/semconv.py --check

check: lint types layers semconv-check ## lint, types, layers, and whether generated files are up to date

.PHONY: bench
bench: $(DEV)/.ready ## measure: ratios to the limits found by prototypes
	@for script in benchmarks/bench_*.py; do $(DEV)/bin/python $$script || exit 1; done

.PHONY: bench-drift
bench-drift: $(DEV)/.ready ## simulate: how often drift alarms where nothing changed, and what it finds
	@$(DEV)/bin/python benchmarks/drift_simulation.py

.PHONY: bench-peers
bench-peers: $(PEERS)/.ready ## the same of Evidently, NannyML and alibi-detect, and what they cost
	@$(PEERS)/bin/python benchmarks/peers.py

.PHONY: bench-mlflow
bench-mlflow: $(MLFLOW)/.ready ## a run beside one of MLflow on its default store
	@$(MLFLOW)/bin/python benchmarks/mlflow_cost.py

.PHONY: semconv dashboards lock
dashboards: $(DEV)/.ready ## generate dashboards/*.json for Grafana
	@$(DEV)/bin/mlotel dashboards --output dashboards

semconv: $(DEV)/.ready ## generate the names' constants and docs from semconv/*.yaml
	@$(DEV)/bin/python tools/semconv.py

lock: $(DEV)/.ready ## resolve the dependencies anew into requirements/*.lock
	@tools/lock.sh $(DEV)/bin/uv

.PHONY: stack-up stack-down
stack-up: python-check ## start collector, Jaeger, Prometheus and Alertmanager on loopback
	@$(PYTHON) tools/stack.py up

stack-down: python-check ## stop them
	@$(PYTHON) tools/stack.py down

.PHONY: clean
clean: ## remove the virtual environments and all caches
	rm -rf $(DEV) $(DEMO) $(LOWEST) $(PEERS) $(MLFLOW) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

# A virtual environment is made anew whenever its lock or the project's metadata changes.
$(DEV)/.ready: requirements/dev.lock pyproject.toml tools/venv.sh
	@tools/venv.sh $(DEV) $<
	@touch $@

$(DEMO)/.ready: requirements/demo.lock pyproject.toml tools/venv.sh
	@tools/venv.sh $(DEMO) $<
	@touch $@

$(LOWEST)/.ready: requirements/lowest.lock pyproject.toml tools/venv.sh
	@tools/venv.sh $(LOWEST) $<
	@touch $@

# Not locked: what others ask for is theirs to say, and nothing of mlotel's depends on it.
$(PEERS)/.ready: requirements/peers.in pyproject.toml
$(MLFLOW)/.ready: requirements/mlflow.in pyproject.toml
$(PEERS)/.ready $(MLFLOW)/.ready:
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $< --editable .
	@touch $@

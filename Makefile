# Everything a person runs here. Each target sets up what it needs; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.13
VENVS := .venvs
PY := $(VENVS)/dev/bin/python
STACK ?= sqs-redrive
PORT ?= 4566
# End-to-end tests mostly wait: for visibility timeouts, long polls, alarms.
TEST_WORKERS ?= 4
export PORT STACK
export SAM_CLI_TELEMETRY := 0
export PATH := $(CURDIR)/$(VENVS)/sam/bin:$(PATH)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

.PHONY: python
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 13))' 2>/dev/null || { \
	  echo "Python 3.13 is needed, but '$(PYTHON)' does not run it."; \
	  echo "Install it (pyenv install 3.13, or your package manager), or name it: make PYTHON=/path/to/python3.13 ..."; \
	  exit 1; }

$(VENVS)/dev/.ready: requirements/dev.txt functions/requirements.txt | python
$(VENVS)/cloud/.ready: requirements/cloud.txt | python
$(VENVS)/sam/.ready: requirements/sam.txt | python
$(VENVS)/snippets/.ready: requirements/snippets.txt | python
$(VENVS)/%/.ready:
	@echo "setting up $(VENVS)/$* from requirements/$*.txt"
	@$(PYTHON) -m venv --clear $(VENVS)/$*
	@$(VENVS)/$*/bin/python -m pip install -qq --disable-pip-version-check -r requirements/$*.txt
	@touch $@

.PHONY: setup
setup: $(VENVS)/dev/.ready $(VENVS)/cloud/.ready $(VENVS)/sam/.ready ## install the tools into .venvs (the other targets do so by themselves)

.PHONY: demo
demo: setup ## the main job on the embedded cloud: dead letters in, redriven, reported, reconciled
	@$(PY) -m local.demo

.PHONY: scenario
scenario: setup ## play one story of local/scenarios: make scenario NAME=store-events
	@$(PY) -m local.scenario $(NAME)

.PHONY: test lint
test: setup lint ## lint, types, unit, integration and end-to-end tests
	@$(PY) -m pytest -n $(TEST_WORKERS) --dist loadfile
lint: setup ## ruff, mypy, and SAM's own check of the template
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m mypy
	@AWS_DEFAULT_REGION=us-east-1 $(VENVS)/sam/bin/sam validate --lint --template-file template.yaml

.PHONY: check-snippets
check-snippets: setup $(VENVS)/snippets/.ready ## synthesize and check the CDK snippet of the docs too (installs the CDK, 0.7 GB)
	@$(PY) -m pytest tests/unit/test_snippets.py

.PHONY: local-up local-down local-env invoke
local-up: setup ## start the embedded cloud and deploy the app to it (PORT=4566)
	@$(PY) -m local.cloud up
local-down: setup ## stop the embedded cloud that local-up started
	@$(PY) -m local.cloud down
local-env: setup ## print the exports that point the AWS tools at the embedded cloud
	@$(PY) -m local.cloud env
invoke: setup ## run one function on the embedded cloud: make invoke FUNCTION=PlanFunction EVENT=events/plan.json
	@test -n "$(FUNCTION)" -a -n "$(EVENT)" || { echo "Name a function of template.yaml and an event: make invoke FUNCTION=PlanFunction EVENT=events/plan.json"; exit 2; }
	@$(PY) -m local.invoke $(FUNCTION) $(EVENT)

.PHONY: bench
bench: setup ## benchmarks against peers and against the limit; writes bench/results.json and docs/benchmarks.md
	@$(PY) -m bench

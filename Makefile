# Everything a person runs here. Each target installs what it needs first; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.13
DEV := .venvs/dev/bin/python
CLOUD := .venvs/cloud/bin/python
# End-to-end tests mostly wait: for visibility timeouts, long polls, alarms.
TEST_WORKERS ?= 4
CHECK_WORKERS ?= 2
export PORT STACK FUNCTION
export SAM_CLI_TELEMETRY := 0
# Some images set it. Without bytecode, Python compiles all libraries at each start, which takes several times as long.
export PYTHONDONTWRITEBYTECODE :=
export PATH := $(CURDIR)/.venvs/sam/bin:$(PATH)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

.PHONY: python setup setup-cloud setup-demo setup-all
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 13))' 2>/dev/null || { \
	  echo "Expected Python 3.13, but '$(PYTHON)' doesn't run it."; \
	  echo "Install it (pyenv install 3.13, or your package manager), or name it: make PYTHON=/path/to/python3.13 ..."; \
	  exit 1; }
setup: python ## install all tools into .venvs (the other targets install what they need)
	@$(PYTHON) -m local.install cloud sam command dev node
setup-cloud: python
	@$(PYTHON) -m local.install cloud sam
setup-demo: python
	@$(PYTHON) -m local.install cloud sam command
setup-all: python
	@$(PYTHON) -m local.install cloud sam command dev node snippets

.PHONY: lock package verify-package sbom audit
# --upgrade for the newest versions of everything that no .in file pins.
ARGS ?=
lock: setup ## lock requirements/*.in, with hashes: make lock ARGS='--upgrade-package urllib3'
	@$(PYTHON) -m local.install uv
	@$(DEV) -m tools.lock $(ARGS)
ARCHITECTURE ?= arm64
package: python ## what sam deploy deploys: sam build, compared with the locked hashes, with bytecode (ARCHITECTURE=x86_64)
	@$(PYTHON) -m local.install sam
	@.venvs/sam/bin/sam build --parameter-overrides Architecture=$(ARCHITECTURE)
	@$(PYTHON) -m tools.verify_package
	@$(PYTHON) -m tools.bytecode
verify-package: python ## compare what package or sam build made with the locked hashes, file by file
	@$(PYTHON) -m tools.verify_package
sbom: setup ## list what Lambda gets, with licenses, and write SBOMs (CycloneDX) to build/
	@$(DEV) -m tools.sbom
audit: python ## known vulnerabilities in what Lambda gets, according to PyPI
	@$(PYTHON) -m local.install audit
	@.venvs/audit/bin/pip-audit --requirement functions/requirements.txt --require-hashes --disable-pip --strict

.PHONY: demo scenario
demo: setup-demo ## a demo on the embedded cloud: messages fail and get redriven, and every one is accounted for (ARGS=--json)
	@$(CLOUD) -m local.scenario store-events $(ARGS)
scenario: setup-demo ## run one scenario of local/scenarios: make scenario NAME=store-events
	@$(CLOUD) -m local.scenario $(NAME) $(ARGS)

.PHONY: check test lint unit
check: lint unit ## lint, types, and quick unit tests, in a minute on two idle cores
test: setup ## lint, types, and all tests, with the coverage of functions/
# Tests often wait, so there is time for the rest meanwhile.
	@$(MAKE) --no-print-directory -j4 tests style types template
lint: setup ## ruff, mypy, import-linter, and SAM's own check of the template
	@$(MAKE) --no-print-directory -j3 --output-sync=target style types template
.PHONY: tests style types template
tests:
# tests/conftest.py orders the files. Otherwise, those with few tests come last, and end-to-end tests take longest.
	@COVERAGE_CORE=sysmon $(DEV) -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder --cov
style:
	@$(DEV) -m ruff check .
	@$(DEV) -m ruff format --check --quiet .
	@out=$$(PYTHONPATH=functions .venvs/dev/bin/lint-imports --no-cache 2>&1) || { echo "$$out"; exit 1; }
types:
	@$(DEV) -m mypy
template:
	@AWS_DEFAULT_REGION=us-east-1 .venvs/sam/bin/sam validate --lint --template-file template.yaml
unit: setup
	@$(DEV) -m pytest -n $(CHECK_WORKERS) --dist worksteal -m "not slow" tests/unit tests/repository

.PHONY: faults
# SEED is the first schedule's seed, COUNT how many there are.
SEED ?= 1
COUNT ?= 50
faults: setup ## whole runs under injected faults, judged by a ledger of their own: make faults SEED=100 COUNT=50
	@PYTHONPATH=functions $(DEV) -m tests.faults --seed $(SEED) --count $(COUNT)

.PHONY: fuzz
# The tests play the seeds before this one.
fuzz: SEED = 13
fuzz: setup ## runs on hostile messages, about 1,100 for each seed: make fuzz SEED=100 COUNT=50
	@PYTHONPATH=functions $(DEV) -m tests.hostile --seed $(SEED) --count $(COUNT)

.PHONY: mutation
mutation: setup ## whether the unit tests notice small changes of moving/ and judging/ (a fixed sample of 150)
	@$(DEV) -m tools.mutation

.PHONY: check-snippets
check-snippets: setup-all ## synthesize and check the CDK snippet of the docs too (installs the CDK, 0.7 GB)
	@$(DEV) -m pytest tests/repository/test_snippets.py

.PHONY: cloud local-up local-down local-env invoke
cloud: setup-cloud ## start the embedded cloud and fill a dead-letter queue for you to redrive (PORT=4566)
	@$(CLOUD) -m local.cloud up --dead-letters
local-up: setup-cloud ## start the embedded cloud and deploy the app to it (PORT=4566)
	@$(CLOUD) -m local.cloud up
local-down: setup-cloud ## stop the embedded cloud that cloud or local-up started
	@$(CLOUD) -m local.cloud down
local-env: setup-cloud ## print the exports that point the AWS tools at the embedded cloud
	@$(CLOUD) -m local.cloud env
invoke: setup-cloud ## invoke a function on the embedded cloud: make invoke EVENT=events/plan.json
	@test -n "$(EVENT)" || { echo "Expected an event of events/README.md: make invoke EVENT=events/plan.json"; exit 2; }
	@$(CLOUD) -m local.invoke $(EVENT)

.PHONY: verify
verify: python ## prove that a deployed stack does what it promises, anywhere: make verify STACK=sqs-redrive
	@test -n "$(STACK)" || { echo "Expected the name of a deployed stack: make verify STACK=sqs-redrive"; exit 2; }
	@$(PYTHON) -m local.install cloud
	@$(CLOUD) -m verify "$$STACK" $(ARGS)

.PHONY: bench
bench: setup ## benchmarks against peers and against the limit; writes bench/results.json and docs/design/benchmarks.md
	@$(DEV) -m bench

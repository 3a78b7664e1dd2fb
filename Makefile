# `make help` lists what there is. Needs python3 (3.11 or newer) with venv, and make; everything else comes into .venv.
PYTHON3 ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
SITES ?= 10
FLEET ?= 300
HISTORY ?= 24
MESSAGES ?= 10000

PYTHON = .venv/bin/python
READY = .venv/ready
TOGETHER = --numprocesses auto --maxprocesses 4 --dist loadfile
.DEFAULT_GOAL = help

$(READY): requirements.txt requirements-dev.txt
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with PYTHON3=")'
	@echo "Python packages into .venv (once; a minute or two) ..."
	@test -x $(PYTHON) || $(PYTHON3) -m venv .venv
	@started=$$(date +%s); $(PYTHON) -m pip install --quiet --disable-pip-version-check --use-pep517 -r requirements-dev.txt \
		&& echo "Python packages: $$(( $$(date +%s) - started )) s"
	@touch $@

.PHONY: run
run: $(READY)  ## everything on this machine, with a demo fleet: PORT=8000 SITES=10 FLEET=300 HISTORY=24 HOST=127.0.0.1; data in var/
	@HOST=$(HOST) PORT=$(PORT) SITES=$(SITES) FLEET=$(FLEET) HISTORY=$(HISTORY) exec $(PYTHON) -m homepot.embedded

.PHONY: test
test: $(READY)  ## all tests on PostgreSQL, journeys last; then what touches the database again on SQLite
	@status=0; \
	TEST_DATABASE=postgres $(PYTHON) -m pytest $(TOGETHER) -m 'not journey and not long' || status=$$?; \
	TEST_DATABASE=postgres $(PYTHON) -m pytest $(TOGETHER) -m journey || status=$$?; \
	TEST_DATABASE=sqlite $(PYTHON) -m pytest $(TOGETHER) || status=$$?; \
	exit $$status

.PHONY: chaos
chaos: $(READY)  ## faults in the whole product, one after another, and what became of every message: CASE=list MESSAGES=10000
	@$(PYTHON) -m tests.chaos $(CASE) --messages $(MESSAGES)

.PHONY: scenarios
scenarios: $(READY)  ## known causes done to the whole product, and what it says was the cause of each message; 10 minutes
	@$(PYTHON) -m tests.scenarios

.PHONY: test-long
test-long: $(READY)  ## what others' compilers and libraries say of our tokens, encryption and clients; needs node (20 or newer), npm and its registry
	$(PYTHON) -m pytest -m long

.PHONY: bench
bench: $(READY)  ## how fast, beside peers and limits in the same run: CASE=list names the cases; what it needs: docs/bench.md
	@DEBUG=1 $(PYTHON) -m bench $(CASE)

.PHONY: check
check: export DEBUG = 1
check: $(READY)  ## what a build machine checks besides the tests: format, lint, types, layers, documented settings
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy .
	.venv/bin/lint-imports
	$(PYTHON) -m pytest -q tests/test_configuration.py

.PHONY: clean
clean:  ## forget the demo: empties var/ (refused while it runs)
	@if test -e $(READY); then $(PYTHON) -m homepot.embedded --clean; else rm -rf var; fi

.PHONY: help
help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Needs Python 3.11 or newer, pip and make; everything else arrives in .venv, and all that runs writes under var/.

.DEFAULT_GOAL := help
.PHONY: help setup run test proto lint lint-scripts types supply suite thorough cover lock format bench clean
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PIP := --disable-pip-version-check --quiet --retries 5 --timeout 60
NEWER := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11 python,$(shell \
	command -v $(name) >/dev/null 2>&1 && $(name) -c '$(NEWER)' 2>/dev/null && command -v $(name))))
# The tests' own servers, so that a run that happens to be going on is left alone.
TEST_VAR := $(CURDIR)/var/test
TEST_ENV := FLAGSHIP_VAR_DIR="$(TEST_VAR)"

# Some images set it; each of the many processes would then compile every module again.
export PYTHONDONTWRITEBYTECODE :=

help:
	@echo "make run      set up, start everything, load the demo (ARGS=\"--port 9000\" passes options on)"
	@echo "make test     lint, types, layers, migrations, supply chain and every test (ARGS=\"-k name\" passes options to pytest)"
	@echo "make lint     code, types, layers, templates, scripts and migrations, without tests"
	@echo "make types    mypy alone"
	@echo "make supply   bill of materials, licences, secrets; with ARGS=--audit known faults of packages too"
	@echo "make lock     write requirements*.txt, with hashes, from requirements*.in"
	@echo "make proto    write the code of proto/ anew"
	@echo "make suite    the tests alone"
	@echo "make thorough the tests with all their generated cases, before a release (hours)"
	@echo "make cover    the engine's branches, all of them"
	@echo "make format   rewrite formatting and fix what can be fixed"
	@echo "make bench    measure, as benchmarks/ describes"
	@echo "make clean    remove .venv and caches; the data under var/ stays"

# Marked once it is whole: what an interrupted run left behind is thrown away. One that was filled before is whole.
$(VENV)/.made:
	@if [ -z "$(PYTHON)" ]; then \
		echo "FlagShip needs Python 3.11 or newer; found: $$(python3 --version 2>&1 || echo none)." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; \
	fi
	@"$(PYTHON)" -c '$(NEWER)' || { echo "$(PYTHON) is older than Python 3.11." >&2; exit 1; }
	@if [ ! -e $(VENV)/.run-installed ]; then \
		rm -rf $(VENV); \
		echo "Making $(VENV) with $(PYTHON)"; \
		if ! "$(PYTHON)" -m venv $(VENV) >/dev/null 2>&1; then \
			: "Debian ships Python without ensurepip unless python3-venv is there; pip itself can fill a bare environment."; \
			rm -rf $(VENV); \
			"$(PYTHON)" -m venv --without-pip $(VENV) && "$(PYTHON)" -m pip --python $(BIN)/python install $(PIP) pip || { \
				rm -rf $(VENV); \
				echo "Cannot make a virtual environment: install pip (on Debian python3-pip)." >&2; \
				exit 1; \
			}; \
		fi; \
	fi
	@touch $@

# uv installs in a third of pip's time. Where it does not run, or does not reach the index that pip is set up for, pip goes on.
install = $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r $(1) 2>>$(VENV)/uv.log \
	|| $(BIN)/python -m pip install $(PIP) --require-hashes -r $(1)

$(VENV)/.run-installed: requirements.txt sdk/python/pyproject.toml | $(VENV)/.made
	@echo "Installing packages into $(VENV), once (a minute or two)"
	@sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.txt >$(VENV)/uv.txt
	@$(BIN)/python -m pip install $(PIP) --require-hashes -r $(VENV)/uv.txt || echo "There is no uv for this machine; pip does it alone."
	@$(call install,requirements.txt)
	@$(BIN)/python -m pip install $(PIP) --no-deps --no-build-isolation -e ./sdk/python
	@touch $@

$(VENV)/.dev-installed: requirements-dev.txt $(VENV)/.run-installed
	@echo "Installing what the tests need into $(VENV), once"
	@$(call install,requirements-dev.txt)
	@touch $@

setup: $(VENV)/.dev-installed

run: $(VENV)/.run-installed
	@$(BIN)/python manage.py run $(ARGS)

lint: $(VENV)/.dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory types
	$(BIN)/lint-imports
	$(BIN)/djlint --lint --quiet templates
	$(BIN)/djhtml --check --tabwidth 2 templates
	@$(MAKE) --no-print-directory lint-scripts
	$(TEST_ENV) $(BIN)/python manage.py makemigrations --check --dry-run
	$(TEST_ENV) $(BIN)/python manage.py check --fail-level WARNING

types: $(VENV)/.dev-installed
	$(BIN)/mypy .

supply: $(VENV)/.dev-installed
	$(BIN)/python .ci/supply_chain.py var/supply $(ARGS)

# Scripts and styles need Node.js, which a machine with Python alone lacks: then it is said, and under CI it fails.
node_modules/.installed: package.json package-lock.json
	@npm ci --no-audit --no-fund --loglevel=error --fetch-retries=5 --fetch-timeout=60000 --prefer-offline
	@touch $@

# The JavaScript SDKs, whose tests run what was built.
sdk/node_modules/.installed: sdk/package-lock.json $(wildcard sdk/package.json sdk/*/package.json)
	@cd sdk && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --fetch-retries=5 --fetch-timeout=60000 --prefer-offline
	@touch $@

sdk/node_modules/.built: sdk/node_modules/.installed $(wildcard sdk/*/build.mjs) $(shell find sdk/node/src sdk/web/src -name '*.ts')
	@cd sdk && npm run --silent build
	@touch $@

lint-scripts:
	@if command -v npm >/dev/null 2>&1; then \
		$(MAKE) --no-print-directory node_modules/.installed && echo "npm run lint" && npm run --silent lint; \
	elif [ "$$CI" = true ]; then \
		echo "CI has to check scripts and styles, but npm cannot be found." >&2; exit 1; \
	else \
		echo "NOT RUN: the lint of scripts and styles needs Node.js with npm, which this machine lacks"; \
	fi

# Every branch of the engine, by the tests that leave nothing to chance (the generated ones run with the rest).
ENGINE_TESTS = $(shell ls sdk/python/tests/test_*.py | grep -vE '/test_(client_|conformance|edge_|openfeature_|sdk_|properties)')
cover: $(VENV)/.dev-installed
	@mkdir -p var
	$(BIN)/python -m coverage run -m pytest -q -n 0 $(ENGINE_TESTS)
	$(BIN)/python -m coverage report --skip-covered

# Two processes more than there are cores, since tests wait for servers, browsers and clocks half of their time; no
# more than the servers' connections and a laptop's memory bear.
WORKERS = $(shell $(BIN)/python -c 'import os; cores = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count()))(0); print(min(8, len(cores) + 2))')
# What `cover` has run is not run again, unless certain tests are asked for.
test: $(VENV)/.dev-installed
	@$(MAKE) --no-print-directory -j 2 lint cover supply ARGS=
	@$(MAKE) --no-print-directory suite

suite: $(VENV)/.dev-installed
	$(BIN)/python -m pytest -p flagship.tests.tools -n $(WORKERS) $(if $(ARGS),$(ARGS),$(addprefix --ignore=,$(ENGINE_TESTS)))

thorough: $(VENV)/.dev-installed
	@SCHEMA_EXAMPLES=100 HOSTILE_SPARING=1 PAGES_SPARING=1 PROPERTY_SHARE=100 \
		ROLLOUT_EXAMPLES=10000 ROLLOUT_PLANS=4000 ROLLOUT_EDITS=200 $(MAKE) --no-print-directory suite

# Every version with the hashes of its files, for every platform and Python from 3.11 on. The SDK is installed from here.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-package openflagship \
	--custom-compile-command "make lock"
lock: $(VENV)/.dev-installed
	$(LOCK) requirements.in -o requirements.txt
	$(LOCK) requirements-dev.in -c requirements.txt -o requirements-dev.txt
	$(LOCK) requirements-parquet.in -c requirements-dev.txt -o requirements-parquet.txt

# The code for the services in proto/, which is committed. `buf build proto -o proto/published.binpb` on a release.
proto: $(VENV)/.dev-installed
	$(BIN)/buf format -w proto
	PYTHONPATH=sdk/python $(BIN)/python -m openflagship.rpc.generate proto sdk/python/openflagship/rpc/generated
	@if command -v go >/dev/null 2>&1; then \
		$(BIN)/python -m sdk.conformance.golang; \
	else \
		echo "NOT DONE: the Go code of proto/ is made with Go, which this machine lacks"; \
	fi

format: $(VENV)/.dev-installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/djhtml --tabwidth 2 templates
	@if command -v npm >/dev/null 2>&1; then \
		$(MAKE) --no-print-directory node_modules/.installed && npm run --silent format; \
	else \
		echo "NOT DONE: scripts and styles are formatted with Node.js and npm, which this machine lacks"; \
	fi

bench: $(VENV)/.dev-installed
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis node_modules build dist var/test var/static var/metrics
	find . -name __pycache__ -type d -not -path './var/*' -prune -exec rm -rf {} +

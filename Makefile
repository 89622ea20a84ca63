# The words of this repository.  Each works by itself on a machine with Python >= 3.11 and
# make: it installs what it needs below this folder, once, and is quick the next time.
#
#   ARGS="..."   is passed on:    make run ARGS="--listen 127.0.0.1:9000"
#                                 make test ARGS="-k stream"
#   WORKERS=0    has one process run the tests, as a debugger wants it:  make test WORKERS=0 ARGS=--pdb
#   PYTHON=...   names the interpreter that .venv is made from:  make test PYTHON=python3.13

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test faults check audit format bench dist lock clean \
	run-environment dev-environment browser-packages test-packages chromium servers

FAULTS := tests/agent/test_kills.py tests/store/test_kills.py tests/store/test_power.py tests/store/test_damage.py \
	tests/store/test_migration.py tests/store/test_full_disk.py

ARGS ?=
PYTHON ?=
export PYTHON

bin := .venv/bin

help: ## say this
	@echo 'make run      start the server and show this host on http://127.0.0.1:8460'
	@echo 'make test     run every test, browser tests included'
	@echo 'make faults   what damage, kills and power cuts do to history, many times over'
	@echo 'make check    format, lint, types, import floors, sources, dangerous calls'
	@echo 'make audit    ask whether what we depend on has known vulnerabilities'
	@echo 'make format   put the code into the form that check wants'
	@echo 'make bench    measure, and print what was measured'
	@echo 'make dist     build the wheel into dist/, with what installs it'
	@echo 'make lock     resolve the dependencies anew (ARGS=--upgrade for newer ones)'
	@echo 'make clean    remove everything that the words above made'
	@echo 'ARGS="..." passes arguments on; PYTHON=python3.13 picks the interpreter.'

run: run-environment browser-packages
	@exec $(bin)/monitor serve $(ARGS)

test: dev-environment test-packages chromium servers
	@$(bin)/python -m pytest -n $(or $(WORKERS),auto) --maxprocesses 4 --dist loadgroup $(ARGS)

# SEEDS is how many times as many as `make test` goes through.
faults: dev-environment
	@MONITOR_SEEDS=$(or $(SEEDS),10) $(bin)/python -m pytest $(FAULTS) $(ARGS)

# Every step runs, so that one look shows every fault.
check: dev-environment
	@faults=; \
	$(bin)/ruff format --check --quiet --output-format concise . || faults="$$faults format"; \
	$(bin)/ruff check --quiet . || faults="$$faults lint"; \
	$(bin)/python -m mypy --no-error-summary || faults="$$faults types"; \
	$(bin)/lint-imports --no-logo >.cache/floors.txt 2>&1 || \
		{ cat .cache/floors.txt; faults="$$faults floors"; }; \
	$(bin)/python tools/check_sources.py || faults="$$faults sources"; \
	$(bin)/bandit --quiet --configfile pyproject.toml --recursive monitor tools || \
		faults="$$faults security"; \
	if [ -n "$$faults" ]; then echo "make check found faults in:$$faults" >&2; exit 1; fi; \
	echo 'make check: clean'

# Exit status 3: the service that knows of vulnerabilities could not be asked.
audit: dev-environment
	@$(bin)/python tools/audit.py

format: dev-environment
	@$(bin)/ruff check --quiet --fix-only .
	@$(bin)/ruff format .

bench: dev-environment browser-packages
	@sh tools/servers.sh bench
	@$(bin)/python -m bench $(ARGS)

dist: dev-environment browser-packages
	@rm -f dist/awoooi_monitor-*.whl
	@$(bin)/python -m build --wheel --no-isolation --outdir dist . $(ARGS)
	@cp requirements.lock deploy/install.sh deploy/awoooi-monitor.service dist/
	@cd dist && sha256sum *.whl requirements.lock install.sh awoooi-monitor.service >SHA256SUMS

lock:
	@sh tools/lock.sh $(ARGS)

clean:
	rm -rf .venv .cache node_modules static/vendor dist build \
		.mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# What the words above stand on.  Each looks at its stamp first.
run-environment:
	@sh tools/venv.sh run

dev-environment:
	@sh tools/venv.sh dev

browser-packages: run-environment
	@$(bin)/python tools/browser_packages.py

test-packages: run-environment
	@$(bin)/python tools/browser_packages.py tests

chromium:
	@sh tools/chromium.sh

servers:
	@sh tools/servers.sh

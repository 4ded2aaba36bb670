# Needs python3 (3.11 or newer, with venv), make and git; `make check` also groff. The rest goes to .build/.

PYTHON ?= python3
PREFIX ?= $(HOME)/.local
PYTEST_ARGS ?= tests
FUZZ_ARGS ?=

BUILD := .build
VENV := $(BUILD)/venv
EXTRAS := $(BUILD)/extras
TOOLS := $(BUILD)/tools
PAGES := $(wildcard man/*.1 man/*.5)
SHIPPED := $(shell find gmmcli -name '*.py') gmmcli/py.typed $(PAGES) $(wildcard man/completions/*) \
           pyproject.toml README.md LICENSE

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
PIP_INSTALL := -m pip install --quiet
# For the line that make install prints.
UNINSTALL_PREFIX = $(if $(filter command line environment,$(origin PREFIX)), PREFIX=$(PREFIX))
# What `make install` links to, seen from PREFIX by the shell.
INSTALLED = bin/gmmcli $$(cd lib/gmmcli && find share -name '*gmmcli*' ! -type d)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help demo test check fuzz bench bench-full man dist install uninstall clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(BUILD)/installed.stamp ## fit, predict, score and inspect a small table (results in .build/demo)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" examples/demo.sh $(BUILD)/demo

test: $(BUILD)/installed.stamp $(BUILD)/group-test.stamp $(BUILD)/extras.stamp ## test the wheel, installed in a fresh environment
	@$(VENV)/bin/pytest -q -n auto --maxprocesses 4 --dist loadfile $(PYTEST_ARGS)

check: $(BUILD)/installed.stamp $(BUILD)/group-test.stamp $(BUILD)/group-check.stamp ## lint, types, layers, man pages
	@command -v groff >/dev/null || { echo "make check: groff is not installed: apt-get install groff" >&2; exit 1; }
	@$(TOOLS)/bin/ruff check --quiet
	@$(TOOLS)/bin/ruff format --quiet --check
	@$(TOOLS)/bin/mypy --strict --python-executable $(VENV)/bin/python gmmcli
	@$(VENV)/bin/pytest -q tests/project/test_layers.py
	@rm -rf $(BUILD)/man && PYTHONPATH=. $(VENV)/bin/python man/build.py $(BUILD)/man
	@diff -ru --exclude='*.in' --exclude='*.py' --exclude=__pycache__ man $(BUILD)/man \
	    || { echo "make check: pages or completions are stale: make man" >&2; exit 1; }
	@complaints=$$(for page in $(PAGES); do groff -ww -t -man -Tutf8 "$$page" 2>&1 >/dev/null; done); \
	    test -z "$$complaints" || { echo "$$complaints" >&2; exit 1; }
	@echo "check: all clean"

fuzz: $(BUILD)/installed.stamp $(BUILD)/group-test.stamp ## fit 100,000 random tables, parse 100,000 texts (15 minutes); one again: FUZZ_ARGS="--case N"
	@cd tests && ../$(VENV)/bin/python -m fuzz.run $(FUZZ_ARGS)
	@GMMCLI_FUZZ_TEXTS=100000 $(VENV)/bin/pytest -q tests/tables/test_grammar.py

bench: $(BUILD)/installed.stamp $(BUILD)/group-bench.stamp ## measure fit beside other programs; write bench/RESULTS.md (10 minutes)
	@$(VENV)/bin/python bench/run.py --save bench

bench-full: $(BUILD)/installed.stamp $(BUILD)/group-bench.stamp ## measure throughput, start-up and growth as well
	@$(VENV)/bin/python bench/run.py --full --save bench

man: $(BUILD)/installed.stamp ## rebuild man pages and completions from the templates and the options
	@PYTHONPATH=. $(VENV)/bin/python man/build.py man

dist: $(BUILD)/tools.stamp ## make sdist and wheel in dist/, the same bytes for the same commit
	@rm -rf dist
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(TOOLS)/bin/python -m build --no-isolation --outdir dist >$(BUILD)/dist.log 2>&1 \
	    || { cat $(BUILD)/dist.log >&2; exit 1; }
	@sha256sum dist/*

install: $(BUILD)/wheel.stamp ## install for yourself below PREFIX (~/.local): program, man pages, completions
	@$(PYTHON) -m venv --clear "$(PREFIX)/lib/gmmcli"
	@"$(PREFIX)/lib/gmmcli/bin/python" $(PIP_INSTALL) $(BUILD)/wheel/*.whl
	@cd "$(PREFIX)" && for file in $(INSTALLED); do \
	    mkdir -p "$${file%/*}" && ln -sf "$$PWD/lib/gmmcli/$$file" "$$file" || exit; done
	@echo "installed $(PREFIX)/bin/gmmcli; to remove it: make uninstall$(UNINSTALL_PREFIX)"
	@case ":$$PATH:" in *":$(PREFIX)/bin:"*) ;; *) echo "not on your PATH: export PATH=\"$(PREFIX)/bin:\$$PATH\"" ;; esac

uninstall: ## remove what make install put there
	@cd "$(PREFIX)" && test -d lib/gmmcli && rm -f $(INSTALLED) && rm -rf lib/gmmcli

clean: ## remove .build and dist
	@rm -rf $(BUILD) dist

# An environment for making the wheel, and one that only ever sees the wheel.
$(BUILD)/tools.stamp: pyproject.toml
	@echo "make: tools for building in $(TOOLS)"
	@$(PYTHON) -m venv --clear $(TOOLS)
	@$(TOOLS)/bin/python $(PIP_INSTALL) --upgrade pip
	@$(TOOLS)/bin/python $(PIP_INSTALL) --group build
	@touch $@

$(BUILD)/wheel.stamp: $(BUILD)/tools.stamp $(SHIPPED)
	@rm -rf $(BUILD)/wheel
	@$(TOOLS)/bin/python -m build --no-isolation --wheel --outdir $(BUILD)/wheel >$(BUILD)/wheel.log 2>&1 \
	    || { cat $(BUILD)/wheel.log >&2; exit 1; }
	@touch $@

$(BUILD)/venv.stamp: pyproject.toml
	@echo "make: an environment for the wheel in $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python $(PIP_INSTALL) --upgrade pip
	@touch $@

$(BUILD)/installed.stamp: $(BUILD)/venv.stamp $(BUILD)/wheel.stamp
	@$(VENV)/bin/python $(PIP_INSTALL) $(BUILD)/wheel/*.whl
	@$(VENV)/bin/python $(PIP_INSTALL) --force-reinstall --no-deps $(BUILD)/wheel/*.whl
	@touch $@

# What the extras add to the environment of the wheel, which stays without them.
$(BUILD)/extras.stamp: $(BUILD)/installed.stamp
	@$(PYTHON) -m venv --clear $(EXTRAS)
	@$(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	    >"$$($(EXTRAS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/wheel.pth"
	@$(EXTRAS)/bin/python $(PIP_INSTALL) "$$(ls $(BUILD)/wheel/*.whl)[tensorboard]"
	@touch $@

# After the wheel, since two pips must not work in one environment at once.
$(BUILD)/group-test.stamp: $(BUILD)/venv.stamp | $(BUILD)/installed.stamp
	@$(VENV)/bin/python $(PIP_INSTALL) --group test
	@touch $@

$(BUILD)/group-bench.stamp: $(BUILD)/venv.stamp | $(BUILD)/installed.stamp $(BUILD)/group-test.stamp
	@$(VENV)/bin/python $(PIP_INSTALL) --group bench
	@touch $@

$(BUILD)/group-check.stamp: $(BUILD)/tools.stamp | $(BUILD)/wheel.stamp
	@$(TOOLS)/bin/python $(PIP_INSTALL) --group check
	@touch $@

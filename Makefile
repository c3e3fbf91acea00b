# The course's commands. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh

# The first Python that the course runs on; PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && { echo $$p; break; }; done)

VENV := .venv
COLAB := .venv-colab
RUN := $(VENV)/bin/python
# The exercises are run by the browser tests, untouched and then answered.
NOTEBOOKS := notebooks solutions
JOBS ?= 2
# Two workers share the files in their order: the browser tests, one long file,
# come first, notebooks last. Those run under nbval (see
# tools/nbval_settings.py for what it is told and why).
PYTEST := -n $(JOBS) --dist loadfile --no-loadscope-reorder \
	-p tools.nbval_settings --nbval-lax --nbval-current-env \
	--nbval-cell-timeout=300

.PHONY: help lab test test-colab notebooks lint bench evidence lock clean

help:  ## List the commands
	@echo 'One Model, Many Goals'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' \
		$(MAKEFILE_LIST)

# Its settings leave out the buttons of nbgrader, which are a teacher's.
lab: $(VENV)/.ready  ## Open the course in JupyterLab (sets up on first use)
	$(RUN) -m jupyterlab --notebook-dir=. --ip=127.0.0.1 \
		--LabApp.app_settings_dir='$(CURDIR)/tools/jupyterlab' \
		--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

test: $(VENV)/.ready lint  ## Lint, then run every test
	$(RUN) -m pytest $(PYTEST) tests $(NOTEBOOKS)

# That tests see a mistake put in on purpose is proved once, by `make test`.
test-colab: $(COLAB)/.ready  ## Unit tests and lesson 00 on Colab's versions
	$(COLAB)/bin/python -m pytest $(PYTEST) -m 'not browser' \
		--ignore=tests/test_mutations.py tests \
		notebooks/00_start_here.ipynb

notebooks: $(VENV)/.ready  ## Rebuild the notebooks whose sources changed
	$(RUN) -m tools.build_notebooks

lint: $(VENV)/.ready  ## Check style, types and the notebooks' rules
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m tools.lint_notebooks

bench: $(VENV)/.ready  ## Measure speed and quality against other libraries
	$(RUN) -m benchmarks

evidence: $(VENV)/.ready  ## Recompute the result tables the lessons quote
	$(RUN) -m tools.evidence

lock: $(VENV)/.ready  ## Resolve the two lock files anew
	$(RUN) -m tools.lock

clean:  ## Remove the environments and everything that was built in passing
	rm -rf $(VENV) $(COLAB) .pytest_cache .mypy_cache .ruff_cache build dist

$(VENV)/.ready: requirements.lock pyproject.toml tools/set_up.py
	@$(if $(PYTHON),$(PYTHON),python3) tools/set_up.py $(VENV) requirements.lock

$(COLAB)/.ready: tests/colab-2026-08.lock pyproject.toml tools/set_up.py
	@$(if $(PYTHON),$(PYTHON),python3) tools/set_up.py $(COLAB) \
		tests/colab-2026-08.lock

# `make demo` starts the demo, `make test` checks everything. Both make the environment first, once:
# a file in .venv records what was installed, and changes of the requirement files renew it.

# Another Python 3.11 than the one on PATH: make PYTHON=/path/to/python3.11 demo
PYTHON ?= python3.11

# Each process of the tests may start a demo with every checkpoint, and a browser: more of them need more memory.
TEST_PROCESSES ?= 2

VENV := .venv
PIP_INSTALL := $(VENV)/bin/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
RUNTIME := $(VENV)/.runtime-installed
DEVELOPMENT := $(VENV)/.development-installed

.PHONY: install install-training demo test lint format browser clean

install: $(RUNTIME)

# Training needs more than the demo does.
install-training: $(DEVELOPMENT)

demo: $(RUNTIME)
	@$(VENV)/bin/python app.py

# A file's tests stay together, for they share servers and models. Files start in the order of their names and not,
# as xdist would have it, by their number of tests: the browser's are few, take long, and must not come last.
test: lint browser
	@$(VENV)/bin/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

lint: $(DEVELOPMENT)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

format: $(DEVELOPMENT)
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

# The tests that need a browser are skipped where there is none.
browser:
	@scripts/install_browser.sh

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEVELOPMENT): $(RUNTIME) requirements-training.txt requirements-dev.txt
	@echo "Installing the development requirements into $(VENV) ..."
	@$(PIP_INSTALL) --requirement requirements-dev.txt
	@touch $@

$(RUNTIME): requirements.txt constraints.txt scripts/install_torch.sh | $(VENV)/bin/python
	@echo "Installing the requirements into $(VENV); the first time takes a few minutes ..."
	@scripts/install_torch.sh $(VENV)/bin/python
	@$(PIP_INSTALL) --requirement requirements.txt
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 is required, and '$(PYTHON)' is not it." >&2; \
	  echo "Install Python 3.11, or name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
	  exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); \
	  echo "'$(PYTHON)' cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3.11-venv" >&2; \
	  exit 1; }

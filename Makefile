# Two commands: `make run` checks the reference models, `make test` passes the tests.
# Each sets up a virtual environment first, if there is none. Needs Python 3.11 or later.

PYTHON ?= python3.11
VENV := .venv
export OMP_NUM_THREADS ?= 1

.PHONY: run test slow browser coverage lint clean

run: $(VENV)/ready
	$(VENV)/bin/python -m gradcheck reference_models

test: $(VENV)/ready
	$(VENV)/bin/python -m pytest -n 2

slow: $(VENV)/ready
	$(VENV)/bin/python -m pytest -n 2 -m slow

browser: $(VENV)/ready
	$(VENV)/bin/python -m pytest -m browser

# lines and branches that the tests run, and which test runs which line
coverage: $(VENV)/ready
	$(VENV)/bin/python -m coverage erase
	$(VENV)/bin/python -m coverage run -m pytest -p benchmarks.coverage_contexts
	$(VENV)/bin/python -m coverage combine --quiet
	$(VENV)/bin/python -m coverage report --fail-under=95

lint: $(VENV)/ready
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e ".[test]"
	touch $@

clean:
	rm -rf $(VENV)

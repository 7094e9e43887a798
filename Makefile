# Everything that a person or CI runs. Needs Python 3.11+ and make; the rest is installed below.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: check test format faults simulate soak bench demo clean

.venv: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("seamless needs Python 3.11 or later")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/python -m pip install --quiet -c constraints.txt --group dev -e '.[streams,local,demo,coordinator]'
	touch .venv

check: .venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

format: .venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: .venv
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not soak'

# NAMES: only rows with one of these words in their names.
faults: .venv
	$(BIN)/python -m tests.faults $(NAMES)

# Seeds of the simulated lease service: SEEDS of them from FIRST on.
simulate: .venv
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),1000) --first $(or $(FIRST),0) --jobs 2

# What takes too long for `make test`; then the lease service: a hundred leaders killed, and one
# fault after the other for SECONDS.
soak: .venv
	$(BIN)/python -m pytest -m soak
	$(BIN)/python -m tests.faults --soak $(or $(SECONDS),3600)

bench: .venv
	$(BIN)/python -m benchmarks

demo: .venv
	$(BIN)/seamless demo $(if $(KEEP),--keep)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build

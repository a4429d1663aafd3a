# Two commands set everything up on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: env env-test demo test test-faults outcomes bench lint lock picture clean

env: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable .
	touch $@

env-test: .venv/ready-test

.venv/ready-test: .venv/ready
	$(PIP) --editable '.[test]'
	touch $@

demo: env  ## load the demo city, rank it and serve list, map and API
	$(BIN)/tarmim demo

test: env-test  ## install what the tests need, and run them
	.ci/real-parts
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-faults: env-test  ## the long form: hundreds of kills, power cuts on a disk image, full disks, mutated files
	.ci/real-parts
	TARMIM_FAULTS=long TARMIM_FUZZ=2000 $(BIN)/python -m pytest tests/faults tests/test_untrusted.py
	$(PIP) --editable '.[fuzz]' && $(BIN)/python -m tests.faults.parsers -max_total_time=300 -rss_limit_mb=4000

outcomes: env-test  ## what becomes of every real and odd file beside the project, in one table
	$(BIN)/python -m tests.outcomes

bench: env-test  ## speeds, each step beside the plain way
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only --benchmark-group-by=group --benchmark-columns=min,median,max,rounds --benchmark-sort=name

lint: env-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: env-test  ## pin the newest versions that fit pyproject.toml
	$(PIP) uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --no-header --upgrade pyproject.toml --output-file constraints.txt

picture: env-test  ## the picture of the README
	$(BIN)/python tests/picture.py

clean:
	rm -rf .venv demo-study .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks build dist

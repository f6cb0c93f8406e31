# Every target does its own set-up: all it needs is python >= 3.11 and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= true

.PHONY: demo test slow engines fuzz check fix docs notebooks clean

demo: $(READY)  ## the whole way on real text in more than a hundred languages, a few minutes on two cores
	$(BIN)/mmbert demo --output-dir demo_run

# A file of tests stays in one process: what a file has built once serves all of it.
test: $(READY)  ## the default suite, offline, on all cores (eight at most)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

slow: $(READY)  ## the longer tests, on all cores (eight at most)
	$(BIN)/python -m pytest -m "slow and not gpu and not network" --numprocesses auto --maxprocesses 8 --dist loadfile --durations=10

engines: $(READY)  ## inference engines and libraries really run, each in an environment of its own; outside CI
	$(BIN)/python benchmarks/engines.py

fuzz: $(READY)  ## 100,000 odd inputs for each of the readers, some hours (FUZZ=2000: minutes)
	MMBERT_FUZZ=$(or $(FUZZ),100000) $(BIN)/python -m pytest tests/fuzz -m "slow or not slow" --timeout 86400 \
	    --numprocesses auto --maxprocesses 8

# mypy reads the installed package: the name of the clone's folder must not matter.
check: $(READY)  ## lint, docstrings, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pydoclint --quiet .
	rm -rf build/lib build/bdist.* .check
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --target .check .
	cd .check && ../$(BIN)/python -m mypy --config-file ../pyproject.toml -p mmbert
	rm -rf build/lib build/bdist.*

fix: $(READY)  ## format, and repair what can be repaired
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## the guides and the reference as HTML in build/docs
	$(BIN)/python -m sphinx --quiet --fail-on-warning docs build/docs

notebooks: $(READY)  ## every guide as a Jupyter notebook in build/notebooks
	$(BIN)/python docs/notebooks.py build/notebooks

clean:
	rm -rf build .check demo_run .pytest_cache .mypy_cache .ruff_cache

# Builds stay isolated: a dependency that ships as source (seqeval) needs build tools which it names itself.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mmbert needs Python 3.11 or newer; run: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade --constraint constraints.txt pip setuptools wheel
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

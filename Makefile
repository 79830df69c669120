# Everything runs in .venv, made on first use from pyproject.toml and constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=
# A process a core, at most four: each holds PyTorch.
PARALLEL ?= -n logical --maxprocesses 4 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-processes docs lint format train flow gallery bench benchmark-quality ablate package clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "Python 3.11 to 3.13 is needed: make PYTHON=/path/to/python3.13 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	# Holds the PAGE-XML schema that a test validates against; nothing of it is imported.
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps ocrd-validators==2.67.1
	# Asks for opencv-python, which would overwrite the headless one; the extra "foreign" has what it needs besides.
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --constraint constraints.txt augraphy
	# The independent reader of our manifests; asks for an older Pillow than the one that reads our pages.
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --constraint constraints.txt iiif-prezi3
	@touch $@

demo: $(READY) ## Restore three damaged pages: make demo ARGS='--pages FOLDER' (trains on your pages first)
	$(BIN)/python scripts/demo.py $(ARGS)

test: $(READY) ## Run all tests
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-fast: $(READY) ## Run the tests that take seconds
	$(BIN)/python -m pytest $(PARALLEL) -m 'not slow' $(ARGS)

test-processes: $(READY) ## Run the tests that kill and restart processes, and the docs' trainings: twenty minutes
	# A process for each file: Ray reads its settings once.
	grep -l 'mark.processes' tests/test_*.py | xargs -n 1 $(BIN)/python -m pytest -m processes $(ARGS)

docs: $(READY) ## Build the documentation as a site: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: $(READY) ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

train: $(READY) ## Train: make train ARGS='experiment=crops data.train_dir=…'
	$(BIN)/python -m manuscript_restore.train $(ARGS)

flow: $(READY) ## Draw the training flow: make flow ARGS='--checkpoint …/best.ckpt --page page.jpg'
	$(BIN)/python scripts/visualize_training_flow.py $(ARGS)

gallery: $(READY) ## Draw every degradation and preset: make gallery ARGS='--pages folder'
	$(BIN)/python scripts/gallery.py $(ARGS)

bench: $(READY) ## Measure: make bench ARGS='NAME [options]'; without ARGS the quick benchmarks
	$(BIN)/python -m benchmarks $(ARGS)

benchmark-quality: $(READY) ## Score models and peers: make benchmark-quality ARGS='--pages … --model NAME=PATH'
	$(BIN)/python -m benchmarks quality $(ARGS)

ablate: $(READY) ## Compare recipes at equal training time: make ablate ARGS='--pages …'
	$(BIN)/python -m benchmarks ablate $(ARGS)

package: $(READY) ## Build the sdist and the wheel into dist/, and check them
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/uv tool run twine check --strict dist/*
	$(BIN)/python -m pytest tests/test_package.py $(ARGS)

clean: ## Remove the environment, caches and built files (outputs/ stays)
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

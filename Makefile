# Every target does its own set-up; `make help` lists them.
VENV := .venv
BIN := $(VENV)/bin
DEMO_ROOT ?= demo

.PHONY: help setup demo test test-slow golden lint lock docs clean

help:  ## List the targets.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.ready  ## Make .venv with every pinned package (once).

$(VENV)/.ready: requirements.lock setup.py scripts/setup.sh
	@bash scripts/setup.sh $(VENV)

demo: setup  ## Run the whole pipeline on generated data, serve the model, show recommendations.
	@$(BIN)/python scripts/demo.py --root $(DEMO_ROOT)

test: setup  ## Run the test suite (without the tests marked slow).
	@$(BIN)/python -m pytest -n 2 --dist loadscope

test-slow: setup  ## Run the tests marked slow.
	@$(BIN)/python -m pytest -m slow

golden: setup  ## Renew the compiled specs that tests compare with, after a wanted change of the pipeline.
	@$(BIN)/python scripts/golden_specs.py

lint: setup  ## Check style and types.
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

docs: setup  ## Build the documentation into site/.
	@$(BIN)/mkdocs build --strict

LOCK := uv pip compile -q setup.py --no-emit-index-url --no-annotate --custom-compile-command 'make lock'

lock: setup  ## Resolve requirements.lock anew from setup.py, keeping pins that still fit; the images' are parts of it.
	@$(BIN)/$(LOCK) --python $(BIN)/python --extra all --extra docs --extra dev -o requirements.lock
	@$(BIN)/$(LOCK) --python $(BIN)/python --extra all -c requirements.lock -o requirements-pipeline.lock
	@$(BIN)/$(LOCK) --python $(BIN)/python --extra serving -c requirements.lock -o requirements-server.lock

clean:  ## Remove the environment and what runs left behind.
	@rm -rf $(VENV) $(VENV).tmp $(DEMO_ROOT) site .pytest_cache .mypy_cache .ruff_cache *.egg-info

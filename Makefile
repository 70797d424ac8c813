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

# A comma inside an argument of `call`.
, := ,
# $(1) what to resolve and how, $(2) the file, $(3) its first line. With hashes: an index or a mirror cannot exchange a file.
define lock_file
	@$(BIN)/uv pip compile -q setup.py --generate-hashes --no-emit-index-url --no-annotate --no-header --python $(BIN)/python $(1) -o $(2)
	@sed -i "1i # $(3) Made by 'make lock'." $(2)
endef

lock: setup  ## Resolve requirements.lock anew from setup.py, keeping pins that still fit; the images' are parts of it.
	$(call lock_file,--extra all --extra docs --extra dev,requirements.lock,Every package of the development environment$(,) pinned: Python 3.10$(,) Linux x86-64.)
	$(call lock_file,requirements/image.in --extra all -c requirements.lock --override requirements/image-overrides.txt,requirements-pipeline.lock,Every package of the pipeline's image$(,) pinned: the part of requirements.lock for the extra 'all'$(,) without notebook servers.)
	$(call lock_file,requirements/server.in --extra serving -c requirements.lock --override requirements/server-overrides.txt,requirements-server.lock,Every package of the servers' image$(,) pinned: the part of requirements.lock for the extra 'serving'$(,) TensorFlow without its GPU half.)

clean:  ## Remove the environment and what runs left behind.
	@rm -rf $(VENV) $(VENV).tmp $(DEMO_ROOT) site .pytest_cache .mypy_cache .ruff_cache *.egg-info

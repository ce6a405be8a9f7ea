# Each command can be run again at any time; what is done already is found done. Without make: python bootstrap.py lab
PYTHON ?= $(shell command -v python3 || command -v python)
ifdef TORCH_INDEX
export TORCH_INDEX
endif
ifdef SEED
export SEED
endif

.PHONY: help lab test explore canary env model clean

help:
	@echo "make lab      make the environment, fetch the model, open JupyterLab at lesson 00"
	@echo "make test     make the environment, run every test that needs no GPU"
	@echo "make explore  make the environment, run the property tests on fresh examples; SEED=N repeats a run"
	@echo "make canary   make the environment, run the kernels on a newer Triton, with their whole support matrix"
	@echo "make env      make the environment alone, with the tools for work on the project"
	@echo "make model    make the environment, fetch the model"
	@echo "make clean    remove the environment and what builds and tests left; work/ and your progress stay"
	@echo
	@echo "make lab TORCH_INDEX=URL takes torch from that index, such as a smaller build for a machine without a GPU."
	@echo "LABKIT_NO_BROWSER=1 make lab opens no browser."

lab test explore canary env model:
	@"$(PYTHON)" bootstrap.py $@

clean:
	rm -rf .venv .stamps build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis test-results *.egg-info

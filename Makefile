PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= results/runs
LAB ?= results/runs/lab
ARGS ?=
PIP_ARGS ?=

.PHONY: help look ablation study encoders test test-all lint format lab clean
.DEFAULT_GOAL := help

help:
	@echo 'make look       set up, then 3 min of the next: three of its runs where they stand; it goes on with them'
	@echo 'make ablation   set up, then train, evaluate, time and plot all seven rungs: about 10 min on two cores'
	@echo 'make study      set up, then all notebooks, one after the other: less than 2 h; interrupted, it goes on'
	@echo 'make encoders   set up, then pretrain the encoders that come with the library: 2.4 h of a core; interrupted, it goes on'
	@echo 'make lab        set up, then JupyterLab on copies of the notebooks (results/runs/lab)'
	@echo 'make test       set up, with 0.4 GB of tools for development, then lint and the quick tests'
	@echo 'make test-all   the slow tests as well'
	@echo 'make lint, make format, make clean'
	@echo
	@echo 'Set-up, once: about 6.3 GB in $(VENV), of which NVIDIA libraries are 3 GB; about 2 min on a fast line.'
	@echo 'Without GPU, less: make ablation PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"'
	@echo 'Options go to the notebook: make ablation ARGS="-p size micro -p duration 3000steps"'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	  f"Python 3.11 or newer is needed, {sys.executable} is {v.major}.{v.minor}: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# Both with the same constraints, so that the second adds to the first and changes nothing.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'Installing into $(VENV): about 6.3 GB, about 2 min on a fast line (CPU only: see make help).'
	$(BIN)/python -m pip install -q -c constraints.txt $(PIP_ARGS) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo 'Installing the tools of development into $(VENV): about 0.4 GB.'
	$(BIN)/python -m pip install -q -c constraints.txt $(PIP_ARGS) -e '.[dev]'
	@touch $@

look: $(VENV)/.installed
	$(BIN)/eomtlib look --results-dir $(OUT) $(ARGS)

ablation: $(VENV)/.installed
	@mkdir -p $(OUT)
	$(BIN)/python -m papermill notebooks/ablation.ipynb $(OUT)/ablation.ipynb \
	  --cwd . -k python3 -p results_dir $(OUT) $(ARGS)
	@echo "Report: $(OUT)/report.html   Executed notebook: $(OUT)/ablation.ipynb   Figures and tables: $(OUT)/figures"

study: $(VENV)/.installed
	$(BIN)/eomtlib book --results-dir $(OUT) $(ARGS)

encoders: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/eomtlib pretrain --size nano --num-images 0 --steps 40000 --probe-every 4000 \
	  --results-dir $(OUT) --ship $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/eomtlib pretrain --size micro --teacher nano --num-images 0 --probe-every 240 \
	  --results-dir $(OUT) --ship $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/eomtlib pretrain --size nano --teacher micro --num-images 0 --probe-every 240 \
	  --results-dir $(OUT) --ship $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: lint
	$(BIN)/python -m pytest

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# On copies, so that playing changes no tracked file; one whose source has changed is put aside.
lab: $(VENV)/.installed
	@mkdir -p $(LAB)
	@for source in notebooks/*.ipynb; do \
	  name=$$(basename $$source); copy=$(LAB)/$$name; \
	  if [ $$source -nt $$copy ] && [ -e $$copy ]; then mv $$copy $(LAB)/before-$$name; fi; \
	  if [ ! -e $$copy ]; then cp $$source $$copy; fi; \
	done
	$(BIN)/jupyter lab $(LAB)

clean:
	rm -rf .pytest_cache .ruff_cache .import_linter_cache build *.egg-info

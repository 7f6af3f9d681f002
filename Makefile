# make ablation   set up, then train, evaluate, time and plot all seven rungs
# make study      set up, then all notebooks, one after the other (eomtlib book); interrupted, it goes on
# make lab        set up, then JupyterLab on copies of the notebooks (results/runs/lab)
# make test       set up, then lint and the quick tests
# make test-all   the slow tests as well
# Options go to the notebook: make ablation ARGS="-p size micro -p duration 3000steps"

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= results/runs
LAB ?= results/runs/lab
ARGS ?=

.PHONY: ablation study test test-all lint format lab clean
.DEFAULT_GOAL := ablation

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	  f"Python 3.11 or newer is needed, {sys.executable} is {v.major}.{v.minor}: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

ablation: $(VENV)/.installed
	@mkdir -p $(OUT)
	$(BIN)/python -m papermill notebooks/ablation.ipynb $(OUT)/ablation.ipynb \
	  --cwd . -k python3 -p results_dir $(OUT) $(ARGS)
	@echo "Report: $(OUT)/report.html   Executed notebook: $(OUT)/ablation.ipynb   Figures and tables: $(OUT)/figures"

study: $(VENV)/.installed
	$(BIN)/eomtlib book --results-dir $(OUT) $(ARGS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: lint
	$(BIN)/python -m pytest

format: $(VENV)/.installed
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

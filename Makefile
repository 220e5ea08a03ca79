# make run   installs what the app needs and opens it on the embedded model
# make test  installs what the tests need, the browser included, and runs everything; three workers, since tests wait
# make quick runs what most changes need, in under a minute: no browser, no training, no data sets
# make wheel builds the package maskscope in dist/, with nothing but Python
#
# PYTHON=python3.13 and TRANSFORMERS=5.24.0 run any of them with other versions, in an environment of their own:
# .venv-3.13, .venv-transformers-5.24.0, .venv-3.13-transformers-5.24.0.
PYTHON ?= python3
ifneq ($(origin PYTHON),file)
NAMED := $(shell $(PYTHON) -c 'import sys; print("-%d.%d" % sys.version_info[:2])')
$(if $(NAMED),,$(error PYTHON=$(PYTHON) does not run; name a Python 3.11, 3.12 or 3.13 that is installed here))
endif
VENV ?= .venv$(NAMED)$(TRANSFORMERS:%=-transformers-%)
BIN := $(VENV)/bin

.PHONY: run test quick check goldens bench gpu shots wheel clean

run: $(VENV)/.app
	$(BIN)/python app.py --open

test: $(VENV)/.tests
	bash tests/install_browser.sh
	$(BIN)/python -m pytest -n 3 --dist loadgroup

quick: $(VENV)/.tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup --quick

check: $(VENV)/.tests
	bash tests/install_browser.sh npm
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m tests.support.javascript

goldens: $(VENV)/.tests
	$(BIN)/python -m tests.goldens

bench: $(VENV)/.tests
	bash tests/install_browser.sh
	$(BIN)/python benchmarks/render.py
	$(BIN)/python benchmarks/page.py
	$(BIN)/python benchmarks/jobs.py
	$(BIN)/python benchmarks/audit.py
	$(BIN)/python benchmarks/compare.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/serve.py
	$(BIN)/python benchmarks/load.py

gpu: $(VENV)/.tests
	$(BIN)/python benchmarks/gpu.py
	$(BIN)/python benchmarks/training.py

shots: $(VENV)/.tests
	bash tests/install_browser.sh
	$(BIN)/python docs/screenshot.py tests/screenshots/all

wheel:
	mkdir -p dist
	$(PYTHON) -c 'from maskscope.wheel import build_wheel; print("dist/" + build_wheel("dist"))'

clean:
	rm -rf $(VENV) dist .venv .venv-* .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Maskscope needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.app: $(VENV)/.made requirements.txt
	$(BIN)/python -m pip install -q -r requirements.txt
	$(if $(TRANSFORMERS),$(BIN)/python -m pip install -q transformers==$(TRANSFORMERS))
	touch $@

$(VENV)/.tests: $(VENV)/.app requirements-dev.txt
	$(BIN)/python -m pip install -q -r requirements-dev.txt
	touch $@

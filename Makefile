# Everything a person types here; `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
NODE_MODULES := tests/azurite/node_modules
QUICK := $(addprefix tests/,core circuits inference kernels programs release store tasks cli) \
	tests/test_documentation.py tests/test_rows.py

# Tests of the whole: what they run is checked for shapes by the others, and takes a third without.
WHOLE := $(addprefix tests/,ui browser cli pruning/test_own_means.py pruning/test_request.py \
	pruning/sweep experiment/test_reproduction.py test_shipped.py test_wheel.py)

.PHONY: kernels help app test quick check format soak manifest bench docs wheel chromium clean
.DEFAULT_GOAL := help

help:            ## list the targets
	@grep -hE '^[a-z]+: .*##|^[a-z]+:  *##' Makefile | sed 's/:[^#]*##/\t/' | expand -t 12

app: .venv/run kernels   ## set everything up and open the explorer
	$(BIN)/streamlit run app.py

test: .venv/dev kernels chromium $(NODE_MODULES)   ## every test, browser and blob service included
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile -m "not soak" $(addprefix --ignore=,$(WHOLE))
	OMP_NUM_THREADS=1 CHECK_SHAPES=no $(BIN)/pytest -q -n 2 --dist worksteal -m "not soak" $(WHOLE)

quick: .venv/dev kernels   ## the inner loop's tests: no browser, no service, no pruning
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile -m "not soak and not browser and not azurite" $(QUICK)

check: .venv/dev  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: .venv/dev ## bring the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

soak: .venv/dev chromium $(NODE_MODULES)   ## the long series of faults and load
	$(BIN)/pytest -q -m soak

manifest: .venv/run   ## write down sizes and sums of what ships, after a change of it on purpose
	$(BIN)/python -m circuit_sparsity.experiment.sizes
	$(BIN)/python -m circuit_sparsity.store

bench: .venv/dev  ## print ratios against stated baselines
	PYTHONPATH=. $(BIN)/python benchmarks/bench.py

docs: .venv/dev  ## build the documentation as a site, offline, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build -q --strict

wheel: .venv/dev ## build the package into dist/
	$(BIN)/python -m hatchling build -t wheel

chromium: .venv/dev ## a browser for the browser tests
	@sh tests/browser/get_chromium.sh $(BIN)

kernels: .venv/run
	@echo "Compiling the kernels: half a minute, once"; $(BIN)/python -m circuit_sparsity.runtime.warm_up

clean:           ## remove what make made (never your downloads or results)
	rm -rf .venv $(NODE_MODULES) site dist

.venv/run: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -r requirements.txt
	touch $@

.venv/dev: requirements-dev.txt requirements-cluster.txt requirements-docs.txt .venv/run
	$(BIN)/pip install -q -r requirements-dev.txt
	touch $@

$(NODE_MODULES): tests/azurite/package-lock.json
	@if command -v npm >/dev/null; then npm ci --silent --no-audit --no-fund --prefix tests/azurite; \
	else echo "LOUD SKIP: no npm here, so the blob service's tests will be skipped"; fi

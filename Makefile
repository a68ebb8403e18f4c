# `make help` lists what there is. Everything runs from .venv, which the first call creates.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Processes that test. Most of the work is done by the programs that they start; four keep two cores busy.
WORKERS ?= 4
LOCKS := locks/torch.txt locks/torch-cpu.txt locks/cuda.txt

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help quickstart test check format bench bench-dashboard gpu-check calibrate docs dist example torture \
  lock licences audit next clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 24

quickstart: .venv/.installed  ## the first study: 2 to 5 minutes on two cores, no download of data
	@$(BIN)/assay run studies/quickstart.yaml

test: .venv/.installed-dev  ## the tests; those on real images need ASSAY_DATA
	@$(BIN)/python -m pytest -n $(WORKERS) --max-worker-restart=0 --durations=25 --durations-min=5

check: .venv/.installed-dev  ## lint, format, types, direction of imports, and known holes in what is installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports
	@$(BIN)/python -m tests.project.audit

format: .venv/.installed-dev  ## put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: .venv/.installed-dev  ## measure images/s, the overhead per trial, large plans and reports (about 45 minutes)
	@$(BIN)/python -m benchmarks.segdec_throughput
	@$(BIN)/python -m benchmarks.overhead
	@$(BIN)/python -m benchmarks.predict_throughput
	@$(BIN)/python -m benchmarks.science
	@$(BIN)/python -m benchmarks.other_ways
	@$(BIN)/python -m benchmarks.start

bench-dashboard: .venv/.installed-dev  ## seconds of the dashboard's pages with 10,000 trials, in Chromium (needs /usr/bin/chromium)
	@$(BIN)/python -m benchmarks.dashboard.waiting $(if $(OPTUNA_DASHBOARD),--optuna-dashboard $(OPTUNA_DASHBOARD))

gpu-check: .venv/.installed  ## measure a GPU: training, launches, repeatability, shares (ten minutes), into docs/gpu.md
	@$(BIN)/python -m benchmarks.gpu.check

docs: .venv/.installed-dev  ## the documentation as a site in build/docs (open index.html); a broken link fails
	@$(BIN)/python -m sphinx -c docs --fail-on-warning --keep-going --quiet --builder html . build/docs
	@echo "build/docs/index.html"

dist: .venv/.installed-dev  ## wheel and source archive, in dist/
	@$(BIN)/python -m hatchling build --directory dist

example: .venv/.installed  ## train studies/additions/ksdd_additions.yaml (DATA=folder with KolektorSDD), write its report into docs/example
	@$(BIN)/assay run studies/additions/ksdd_additions.yaml --data $(DATA)
	@for form in md tex html csv; do $(BIN)/assay report ksdd_additions --output docs/example/ksdd_additions.$$form; done

calibrate: .venv/.installed-dev  ## how often the answers are wrong where the truth is known (twenty minutes; ONLY="decisions families" for a part)
	@$(BIN)/python -m benchmarks.calibration.calibrate $(if $(ONLY),--only $(ONLY))

torture: .venv/.installed-dev  ## a hundred random kills of a fast study, 10,000 simulated histories, 500 races for a lease (hours)
	@$(BIN)/python -m tests.e2e.torture
	@ASSAY_POWER_CUTS=1 $(BIN)/python -m pytest -q tests/storage/test_power_cuts.py
	@PYTHONPATH=tests/plugin $(BIN)/python -m tests.simulation.torture
	@$(BIN)/python -m tests.storage.lease_race

lock: .venv/.installed-dev  ## resolve requirements*.txt into locks/, with hashes, for Python 3.11 to 3.13
	@bash locks/make.sh $(BIN)/uv

licences: .venv/.installed-dev  ## write docs/licences.md anew: the licence of each package that gets installed
	@$(BIN)/python -m tests.project.licences docs/licences.md

audit: .venv/.installed-dev  ## known holes in the locked packages; fails where there is one
	@$(BIN)/python -m tests.project.audit --strict

next:  ## the newest releases that resolve, in .venv-next, and what breaks with them (TESTS="tests/engine" RAY=2.55.1)
	@PYTHON=$(PYTHON) TESTS="$(TESTS)" RAY="$(RAY)" bash tests/next.sh

clean:  ## remove the environment, not the results
	rm -rf .venv

# A stamp per set of requirements, so that the second call is instant.
.venv/.installed: $(LOCKS) locks/requirements.txt pyproject.toml | .venv/bin/python
	@$(call install,locks/requirements.txt)
	@touch $@

.venv/.installed-dev: $(LOCKS) locks/dev.txt pyproject.toml | .venv/bin/python
	@$(call install,locks/dev.txt)
	@touch .venv/.installed $@

.venv/bin/python:
	@version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	 case "$$version" in 3.1[1-3]) ;; *) \
	   echo "error: assay needs Python 3.11, 3.12 or 3.13, found $$version: make PYTHON=/path/to/python3.11"; exit 2;; \
	 esac; \
	 echo "making .venv with Python $$version"
	@$(PYTHON) -m venv .venv

# pip's own progress is either a flood or silence: one line every four seconds, its whole log when it fails.
define install
start=$$SECONDS; log=.venv/install.log; \
echo "installing $(1) into .venv (about 2 GB, two minutes at first; the log is $$log)"; \
( set -e; pip="$(BIN)/python -m pip install --progress-bar off --no-deps"; \
  $$pip --require-hashes -r $(1); \
  $$pip --require-hashes -r locks/torch-cpu.txt || echo "no CPU build of torch here: the default one"; \
  $$pip --require-hashes -r locks/torch.txt; \
  $(BIN)/python -c 'from importlib.metadata import version; exit("+cpu" in version("torch"))' && \
    $$pip --require-hashes -r locks/cuda.txt; \
  $$pip --editable . ) >$$log 2>&1 & job=$$!; \
trap 'kill $$job 2>/dev/null' INT TERM; \
while kill -0 $$job 2>/dev/null; do \
  sleep 1; \
  if (( (SECONDS - start) % 4 == 0 )); then \
    echo "  $$((SECONDS - start)) s: $$(grep -oE '^(Collecting|Installing|Building|Requirement already satisfied:) [A-Za-z0-9._-]+( [a-z]+)?' $$log | tail -n 1)"; \
  fi; \
done; \
wait $$job || { cat $$log; echo "error: the installation failed, see above"; exit 1; }; \
echo "installed in $$((SECONDS - start)) s"
endef

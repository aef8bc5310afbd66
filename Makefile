# Tidemark. `make` alone lists the targets. Every target first puts what it needs into this
# checkout (.tools/, .venv/), which takes no time when it is there.
#
# Variables: PYTHON=python3.12  the interpreter to use      ONCE=1  end the demo after its summary
#            WORKERS=4          test processes              FULL=1  run the full stack
#            MINUTES=60         how long to soak            NAME=orders  one benchmark
#            QUICK=1            short benchmarks, to see that they work
.DEFAULT_GOAL := help
SHELL := /bin/sh

# Recipes read these from the environment; PYTHON only where somebody chose one.
MINUTES ?= 60
export MINUTES
ifdef WORKERS
export WORKERS
endif
ifdef PYTHON
export PYTHON
endif

# A stack is a dozen processes, each of which would compile the project anew.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
# "0" and nothing both mean no.
yes = $(filter-out 0 no false,$(1))

# A shell may have a NAME of its own.
BENCHMARK = $(if $(filter command,$(firstword $(origin NAME))),$(NAME),all)

.PHONY: help bootstrap servers demo test coverage faults soak lint up bench services services-stop clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

bootstrap: ## Install uv and the locked packages into this checkout
	@scripts/bootstrap

servers: bootstrap
	@scripts/install-servers

demo: $(if $(call yes,$(FULL)),servers,bootstrap) ## Collect, backtest and trade on simulated money, in front of you (ONCE=1 ends it)
	@exec $(BIN)/tidemark demo $(if $(call yes,$(ONCE)),--once) $(if $(call yes,$(FULL)),--full)

test: servers ## Lint, types, import contracts and the whole suite on private servers
	@exec scripts/check

coverage: servers ## Branch coverage of the tests that tests/untraced.txt does not name
	@exec scripts/check coverage

faults: servers ## The long fault rehearsals, one line for each at the end
	@exec $(BIN)/pytest -m faults -n $(or $(WORKERS),2) --dist loadgroup tests/faults

soak: servers ## The full stack under load while its parts are killed (MINUTES=60)
	@exec $(BIN)/python -m tests.soak

lint: bootstrap ## Lint, types and import contracts alone
	@exec scripts/check lint

up: bootstrap ## Start Tidemark, embedded (FULL=1: on MySQL, RabbitMQ and Redis)
	@exec $(BIN)/tidemark up $(if $(call yes,$(FULL)),--full)

bench: servers ## Run every benchmark, which takes hours (NAME=orders runs one, QUICK=1 short)
	@exec $(BIN)/python -m benchmarks $(BENCHMARK) $(if $(call yes,$(QUICK)),--quick)

services: servers ## Install and start MariaDB, RabbitMQ and Redis of our own, in var/services
	@exec $(BIN)/tidemark services start

services-stop: bootstrap ## Stop them; their data stay
	@exec $(BIN)/tidemark services stop

clean: ## Remove what was installed and built; var/ and .env, which are yours, stay
	rm -rf .venv .tools .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis \
		htmlcov dist .coverage .coverage.*
	find . -name __pycache__ -type d -not -path './var/*' -prune -exec rm -rf {} +

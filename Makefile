# Everything a person types. The first `make demo` or `make test` on a new machine makes a
# virtual environment from the lock (needs Python 3.11 or later), then runs.

SHELL := /bin/sh
VENV := .venv
# Which Python makes the virtual environment: 3.11 or later.
export PYTHON ?= python3
RUN := $(VENV)/bin/python
LOCK := deploy/requirements/development.lock
READY := $(VENV)/ready
BUF := $(VENV)/bin/buf
DESCRIPTORS := $(VENV)/descriptors.binpb

# make demo SLIPS=my.csv
SLIPS :=
# make up RATINGSLIP_PORT=… LOYALTY_PORT=…
RATINGSLIP_PORT := 50052
LOYALTY_PORT := 50051
# make explain ID=<slip, correlation or trace ID>, make trace ID=<correlation or trace ID>
ID :=
# make rehearse FAULT=loyalty-down | reply-lost | slow-database | poisoned-slip | drift
FAULT :=
# make test PYTEST_OPTIONS="-k close -x"
PYTEST_OPTIONS :=

# pip must not ask, and must not advertise.
export PIP_NO_INPUT := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# make torture SECONDS=600 SEED=7
SECONDS := 60
SEED :=

.PHONY: help demo test torture up down explain rehearse trace check format stubs tables dashboards baseline schema lock clean

help: ## show the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

demo: $(READY) ## replay a casino's day through both services (SLIPS=my.csv for your own)
	@exec $(RUN) -m deploy.local demo $(if $(SLIPS),--slips "$(SLIPS)")

test: $(READY) ## run every test against real PostgreSQL
	@exec $(RUN) -m pytest $(PYTEST_OPTIONS)

torture: $(READY) ## random faults under load for SECONDS=60, another run for each seed (SEED=7 repeats one)
	@exec $(RUN) -m tests.fault.torture --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

up: $(READY) ## start PostgreSQL and both services, and leave them running
	@exec $(RUN) -m deploy.local up --ratingslip-port $(RATINGSLIP_PORT) --loyalty-port $(LOYALTY_PORT)

down: $(READY) ## stop them
	@exec $(RUN) -m deploy.local down

explain: $(READY) ## say what happened to a slip or a call, why, and what to type next (ID=…)
	@exec $(RUN) -m deploy.explain "$(ID)"

rehearse: $(READY) ## make a fault on a stack of its own and walk through finding it (FAULT=…)
	@exec $(RUN) -m deploy.local rehearse "$(FAULT)"

trace: $(READY) ## show a call as a tree over both services (ID=correlation or trace ID)
	@exec $(RUN) -m deploy.local trace "$(ID)"

check: $(READY) ## lint, format, types, protos, structure
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) protos/generate.py --check
	$(RUN) -m docs.rpc_tables --check
	$(RUN) -m docs.api_reference --check
	$(RUN) -m docs.error_catalogue --check
	$(RUN) -m docs.log_reference --check
	$(RUN) -m deploy.observability.dashboards --check
	$(RUN) protos/generate.py --descriptors $(DESCRIPTORS)
	$(BUF) lint $(DESCRIPTORS) --config protos/buf.yaml
	$(BUF) breaking $(DESCRIPTORS) --against protos/baseline.binpb --config protos/buf.yaml
	$(RUN) -m pytest -q tests/unit/test_structure.py

format: $(READY) ## format the code
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

stubs: $(READY) ## generate the stubs from the protos
	$(RUN) protos/generate.py

tables: $(READY) ## write the generated pages from the protos and the code
	$(RUN) -m docs.rpc_tables
	$(RUN) -m docs.api_reference
	$(RUN) -m docs.error_catalogue
	$(RUN) -m docs.log_reference

dashboards: $(READY) ## write Grafana's dashboards from their code
	$(RUN) -m deploy.observability.dashboards

baseline: $(READY) ## release the protos: later changes must be compatible with them
	$(RUN) protos/generate.py --descriptors $(DESCRIPTORS)
	$(BUF) build $(DESCRIPTORS) --exclude-source-info -o protos/baseline.binpb

schema: $(READY) ## write the schema descriptions that the tests compare with
	$(RUN) -m tests.database.schema_dump

lock: ## resolve the dependencies anew (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header -o deploy/requirements/runtime.lock
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header -o deploy/requirements/development.lock

clean: ## stop the stack and delete the environment, the databases and all other state
	@if [ -x $(RUN) ] && [ -d .local ]; then $(RUN) -m deploy.local down --delete-data; fi
	@if [ -x $(RUN) ] && [ -d .local/rehearsal ]; then \
		$(RUN) -m deploy.local down --delete-data --state-directory .local/rehearsal; fi
	rm -rf .venv .local .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The venv is made under a temporary mark, so that an interrupted install starts anew.
$(READY): $(LOCK) pyproject.toml deploy/make_environment.sh
	@sh deploy/make_environment.sh $(VENV) $(LOCK)
	@touch $@

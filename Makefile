# labtrawl: everything a user or a developer types. `make` alone shows the list.
# Names are relative throughout: the path of this folder may contain spaces.

.DEFAULT_GOAL := help
.PHONY: help install dev browser demo test prove prove-full proof check bench bench-crawl bench-export bench-ipc bench-supervisor bench-web bench-live bench-lighthouse screenshots lock docs clean
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# Given by the user: make demo ARGS="--once --summary summary.json"
ARGS ?=
export GITLAB_TRUTH ?= ../shared/gitlab-truth
PYTEST := .venv/bin/python -m pytest

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

install: ## set up .venv with the locked dependencies
	@scripts/bootstrap.sh runtime

dev: ## the same, with the tools of tests and checks
	@scripts/bootstrap.sh dev

browser: dev
	@scripts/browser.sh

demo: install ## crawl a GitLab look-alike and show it on the website (ARGS="--help" tells more)
	@exec .venv/bin/python scripts/foreground.py .venv/bin/labtrawl demo $(ARGS)

test: browser ## all tests with branch coverage, in a browser too
# Three for two processors: a third of the time a test waits. Long files first: tests/conftest.py.
	@scripts/in_memory.sh $(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder \
		-o tmp_path_retention_policy=failed \
		-m "not prove and not prove_full and not proof" --cov --cov-report=term $(ARGS)

prove: dev ## the invariants of the core and their planted bugs, a sample of the points
	@scripts/strace.sh
	@$(PYTEST) tests/prove -m prove $(ARGS)

prove-full: dev ## the same, at all points
	@scripts/strace.sh
	@$(PYTEST) tests/prove -m "prove or prove_full" $(ARGS)

proof: browser ## the long figures: an hour on two free processors
	@scripts/bootstrap.sh proof
	@scripts/strace.sh
	@$(PYTEST) -m proof $(ARGS)

check: dev ## format, lint, types, floors, generated documents; no tests
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache
	@.venv/bin/python scripts/reference.py --check

bench: install ## time the crawl of the default world
	@.venv/bin/python scripts/bench.py $(ARGS)

bench-crawl: dev ## labtrawl beside the tools people use instead (ARGS="speed --quick")
	@.venv/bin/python -m bench.crawl $(ARGS)

bench-export: dev ## time and memory of an export of 100,000 and 1,000,000 records
	@.venv/bin/python -m bench.export $(ARGS)

bench-ipc: dev ## what a message between crawler and website costs, beside aiohttp and gRPC
	@scripts/bootstrap.sh proof
	@.venv/bin/python -m bench.ipc $(ARGS)

bench-supervisor: dev ## restart time and memory beside other supervisors
	@.venv/bin/python bench/supervisor.py $(ARGS)

bench-web: dev ## the list of jobs with a million of them, 200 writes a second beside (ARGS="--jobs 100000")
	@.venv/bin/python -m bench.web $(ARGS)

bench-live: browser ## how soon a commit is on a page, and what 100 viewers cost (ARGS="--seconds 20")
	@.venv/bin/python -m bench.web_live $(ARGS)

bench-lighthouse: browser ## Lighthouse on the pages people see first; gets it by npm, below .venv
	@.venv/bin/python -m bench.lighthouse $(ARGS)

screenshots: browser ## pictures of every page of two demos (ARGS=SIGN-IN-LINK: of a site that runs)
	@.venv/bin/python -m scripts.screenshots $(ARGS)

docs: dev ## write the reference pages that come from the code
	@.venv/bin/python scripts/reference.py

lock: dev ## lock the dependencies again (ARGS=--upgrade takes the newest)
	@scripts/lock.sh $(ARGS)

clean: ## remove .venv and caches; data.private stays
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis \
		.coverage .coverage.* dist test-results

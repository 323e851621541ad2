# Suifang. `make demo` and `make test` work on a bare Debian 12 or 13; see README.md.
# ARGS goes to the command: make demo ARGS="--seconds 60 --json", make test ARGS="tests/unit -k glucose".
ARGS ?=
bin := .venv/bin

.PHONY: pictures help setup demo test bench fuzz lint

help:
	@echo 'make demo    the whole chain with simulated residents and devices; prints where to look'
	@echo 'make test    all tests, with a real database, broker and (as root, or if installed) browser'
	@echo 'make bench   the benchmarks, one JSON line each; make bench ARGS=ingest for one'
	@echo 'make fuzz    arbitrary input into every codec; make fuzz ARGS="--cases 100000 --seconds 60" for less'
	@echo 'make pictures  the pictures in docs/images, taken of the running chain'
	@echo 'make lint    style, types and the rooms'"'"' contracts'
	@echo 'make setup   only what the others need: uv, .venv, the web assets'
	@echo 'ARGS="…" is handed to the command.'

setup: .venv/.stamp

.venv/.stamp: pyproject.toml uv.lock .ci/bootstrap
	@.ci/bootstrap

demo: .venv/.stamp
	@$(bin)/suifang-demo $(ARGS)

test: .venv/.stamp
	@.ci/test-packages
	$(bin)/pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

bench: .venv/.stamp
	@$(bin)/python -m tests.benchmarks $(ARGS)

fuzz: .venv/.stamp
	@$(bin)/python -m tests.fuzz $(ARGS)

pictures: .venv/.stamp
	@.ci/test-packages
	@$(bin)/python -m tests.acceptance.pictures $(ARGS)

lint: .venv/.stamp
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports

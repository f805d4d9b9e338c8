# Two commands matter: `make demo` shows mms at work, `make test` proves it. Both install what is missing, can be repeated, and
# leave nothing running. `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

PREFIX ?= $(HOME)/.local
LAB := tests/lab/lab
PREPARE := tests/tools/prepare
STEP = @printf '\n==> %s\n' '$(1)'
# cargo-nextest is faster and shows more, but nobody has to have it.
NEXTEST = $(shell command -v cargo-nextest)
RUN_TESTS = $(if $(NEXTEST),cargo nextest run,cargo test) --no-fail-fast
# The tests that boot machines say how they are left out.
MACHINE_TESTS = $(patsubst tests/%.rs,--test %,$(shell grep -l MMS_TEST_MACHINE tests/*.rs))

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## Deploy the whole media stack to a disposable machine and show its status
	@$(PREPARE) lab
	@tests/tools/with-machines tests/demo/demo

.PHONY: test
test: ## Everything: rustfmt, clippy, unit and data tests, ansible-core as the oracle, tests on machines
	@$(PREPARE) build test
	@$(MAKE) --no-print-directory fmt-check clippy unit machine
	@printf '\n==> everything passed\n'

.PHONY: fmt-check
fmt-check: ## Is everything formatted?
	$(call STEP,rustfmt)
	cargo fmt --check

.PHONY: clippy
clippy: ## Lints, warnings denied
	$(call STEP,clippy)
	cargo clippy --locked --all-targets -- --deny warnings

.PHONY: unit
unit: ## Tests that need no machine: unit, data, snapshot
	$(call STEP,tests that need no machine)
	MMS_TEST_MACHINE=0 MMS_REQUIRE_SSHD=1 MMS_REQUIRE_SHELLS=1 $(RUN_TESTS) --locked
	$(if $(NEXTEST),cargo test --locked --doc)

.PHONY: machine
machine: ## Tests on disposable machines, and against ansible-core
ifeq ($(MMS_TEST_MACHINE),0)
	@echo 'tests on machines are left out: MMS_TEST_MACHINE=0'
else
	@$(PREPARE) test lab
	@tests/tools/with-machines $(MAKE) --no-print-directory machine-tests
endif

.PHONY: machine-tests
machine-tests:
	$(call STEP,the lab)
	$(LAB) build
	$(call STEP,tests on machines)
	$(RUN_TESTS) --locked $(MACHINE_TESTS)

.PHONY: check
check: ## What is quick: does it compile, is it formatted?
	cargo check --locked --all-targets
	cargo fmt --check

.PHONY: build
build: ## Build target/release/mms
	@$(PREPARE) build
	cargo build --locked --release

.PHONY: install
install: build ## Install it into PREFIX/bin (PREFIX=~/.local)
	install -D -m 0755 target/release/mms $(DESTDIR)$(PREFIX)/bin/mms

.PHONY: bench
bench: build ## Measure a run that changes nothing: mms, ansible-core and a shell script
	@$(PREPARE) lab bench
	@tests/tools/with-machines tests/bench/bench

.PHONY: bench-bulk
bench-bulk: build ## Measure backup and restore of 1 GB against ssh, tar, zstd and age
	@$(PREPARE) lab bench
	@tests/tools/with-machines tests/bench/bulk

.PHONY: docs
docs: ## Write the generated parts of docs/ and services/.schema.json anew
	UPDATE_DOCS=1 cargo test --locked --test docs
	MMS_UPDATE=1 cargo test --locked --test service

.PHONY: lab-up
lab-up: ## Boot a machine to play with (NAME=play FLAVOUR=fedora)
	@$(PREPARE) lab
	$(LAB) up $(or $(NAME),play) $(if $(FLAVOUR),--flavour $(FLAVOUR))
	@echo 'log in: $(LAB) ssh $(or $(NAME),play)    for mms: $(LAB) inventory $(or $(NAME),play) >inventory.yml'

.PHONY: lab-down
lab-down: ## Take it down again (NAME=play)
	$(LAB) down $(or $(NAME),play)

.PHONY: clean
clean: ## Remove what was built here; the lab's cache goes with `tests/lab/lab clean`
	cargo clean

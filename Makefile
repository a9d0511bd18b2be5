# Each target is one command or one small script of tools/; `make help` lists them.

CARGO  ?= cargo
PREFIX ?= /usr/local
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Absolute, so that tests find it from any folder.
export HEADCOUNT_BIN := $(abspath $(TARGET)/debug/headcount)
PLUGIN_BUILD = $(CARGO) build --quiet --manifest-path plugins/Cargo.toml --target-dir plugins/target

.PHONY: help deps build release plugins script-plugins tools demo test test-all long mutants bench fixtures guests lint fmt install clean
.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## Fetch the prebuilt DuckDB library (once)
	@tools/fetch-duckdb.sh

build: deps ## Build the program into target/debug
	$(CARGO) build -p headcount

release: deps ## Build the program into target/release, against the prebuilt DuckDB library
	$(CARGO) build --release -p headcount

# A toolchain that was there before this project lacks the target that rust-toolchain.toml names.
.PHONY: wasm-target
wasm-target:
	@! command -v rustup >/dev/null || rustup target list --installed | grep -qx wasm32-wasip2 || \
	rustup target add wasm32-wasip2

plugins: wasm-target ## Build the plugins for the sandbox
	$(PLUGIN_BUILD) --release --target wasm32-wasip2

tools: ## Install the pinned test tools: nodes, a Solidity compiler, stock DuckDB, an XML validator
	@# Not `npm ci`: the lock knows the platforms this project tried, others resolve by exact version.
	@npm install --prefix tests/tools --no-save --silent

script-plugins: build-tests ## Build the plugins in JavaScript and Python (installs their tools)
	@tools/script-plugins.sh

demo: demo-says build plugins ## Build everything and replay the recording, with a plugin and a query
	@tools/demo.sh

.PHONY: demo-says
demo-says:
	@echo "Builds everything first. Once, this downloads about 200 MB of crates, the DuckDB library (25 MB)"
	@echo "and the wasm32-wasip2 target of Rust, and takes 6 to 12 minutes on two idle cores."

# All targets at once, so that program and tests share one build of every dependency.
.PHONY: build-tests
build-tests: deps
	$(CARGO) build --workspace --all-targets

test: build-tests plugins ## Run the tests; a missing optional tool is one named SKIP line
	@tools/test.sh

test-all: tools build-tests plugins script-plugins ## Install the test tools and run the tests; a SKIP is a failure
	@HEADCOUNT_NO_SKIP=1 tools/test.sh

long: tools build-tests plugins script-plugins ## Run many seeds, soaks and kill loops
	@HEADCOUNT_NO_SKIP=1 HEADCOUNT_LONG=1 HEADCOUNT_SEEDS=10000 tools/test.sh
	@tools/mutants.sh

mutants: deps ## Switch off each check in turn; a test must notice
	@tools/mutants.sh

bench: deps plugins ## Measure replay, watch and plugins (after script-plugins all) against what it takes without them
	$(CARGO) build --release -p headcount
	$(CARGO) build --release -p headcount-bench
	$(TARGET)/release/headcount-bench
	$(TARGET)/release/headcount-bench live
	$(TARGET)/release/headcount-bench plugins

fixtures: tools build ## Record fixtures/ anew from a real node
	$(CARGO) run --quiet -p headcount-tests --bin make-fixtures

guests: ## Make the hand-made guests of fixtures/guests anew from their texts
	$(CARGO) run --quiet --manifest-path tools/guests/Cargo.toml --target-dir plugins/target

lint: deps ## Check format and lints as CI does, of program and plugins
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path plugins/Cargo.toml --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --manifest-path plugins/Cargo.toml --target-dir plugins/target --all-targets -- -D warnings

fmt: ## Format the code
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path plugins/Cargo.toml --all

# Installs the release build where there is one, else the debug build.
install: deps ## Install below PREFIX (default /usr/local); DESTDIR is respected
	@program=$(TARGET)/release/headcount; [ -x $$program ] || program=$(TARGET)/debug/headcount; \
	[ -x $$program ] || { echo "error: nothing is built yet"; echo "hint: make release"; exit 2; }; \
	tools/install.sh $$program target/duckdb "$(PREFIX)"

clean: ## Remove everything built
	$(CARGO) clean
	rm -rf plugins/target tests/tools/node_modules target

.DEFAULT_GOAL := help
# Seconds for each target of `make fuzz`, and for which `make load` sends.
SECONDS ?= 60
# Uploads a second of `make load`, and what it sends.
RATE ?= 5
CLIPS ?= fixtures/sample.mp4
# Programs that setup.sh builds.
CACHED := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fiapx/bin
# Checks what Prometheus is to read.
PROMTOOL = $(or $(shell command -v promtool),$(CACHED)/promtool)
# Known holes in dependencies, as the RustSec project collects them.
ADVISORIES := https://github.com/RustSec/advisory-db

.PHONY: help setup run build test test-quick soak lint deny verify-deploy fuzz bench bench-servers load race clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## Install the system packages that a build needs
	@./setup.sh build

build: export FIAPX_COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
build: setup ## Build the command, optimised: target/release/fiapx
	cargo build --release --package app

run: build ## Set up, build, and run the service at http://localhost:8000, with its data in ./data
	target/release/fiapx serve

test: ## Set up and run everything that has to pass
	@./setup.sh test
	@{ nice ./setup.sh store && nice ./setup.sh deny; } & store=$$!; \
	{ $(MAKE) --no-print-directory lint && cargo build --package app --features failpoints && cargo build --package load && cargo test --workspace --no-run; } \
	|| { kill $$store; exit 1; }; \
	wait $$store
	@$(MAKE) --no-print-directory deny
	@$(MAKE) --no-print-directory verify-deploy
	cargo test --workspace

test-quick: ## Run the tests of the crates alone, without the whole-system stories
	@./setup.sh build
	cargo test --workspace --exclude stories --exclude servers --lib --bins -- --skip rabbitmq::tests --skip s3::tests --skip on_a_server

soak: ## Kill, stop and pause everything at random under load, and account for every video: make soak MINUTES=10
	@./setup.sh test && ./setup.sh store
	cargo build --package app --features failpoints
	SOAK_MINUTES=$(or $(MINUTES),10) cargo test --package stories --test stories -- soak --nocapture

lint: ## Check form and style
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets -- --deny warnings

deny: ## Check the licences, sources and known holes of all dependencies
	@./setup.sh deny
	$(CACHED)/cargo-deny --all-features check licenses bans sources
	@if timeout 20 git ls-remote --quiet $(ADVISORIES) HEAD >/dev/null 2>&1; then \
	  $(CACHED)/cargo-deny --all-features check advisories; \
	else \
	  echo "NOT CHECKED: known holes in dependencies, since $(ADVISORIES) cannot be reached from here" >&2; \
	fi

verify-deploy: ## Check alerts, dashboards and Kubernetes manifests
	@./setup.sh test && ./setup.sh deploy
	$(PROMTOOL) check config docker/prometheus/prometheus.yml
	@# Debian's promtool does not know how clusters are asked for their pods; the rest is checked.
	sed /kubernetes_sd_configs/d docker/prometheus/kubernetes.yml | $(PROMTOOL) check config --syntax-only /dev/stdin
	$(PROMTOOL) test rules docker/prometheus/tests/*.yml
	docker/grafana/dashboards.py --check $(PROMTOOL)
	docker/k8s/validate.sh

fuzz: ## Try random input on what strangers reach: make fuzz SECONDS=60
	@./setup.sh build && ./setup.sh fuzz
	tests/fuzz/run.sh $(SECONDS)

bench: build ## Measure each step of the engine (criterion), and what the service adds
	@./setup.sh bench
	cargo bench --package benches --bench steps --bench pipeline --bench service

bench-servers: build ## Measure the service on real servers: uploads, overhead, memory, what a video costs each of them
	@./setup.sh test && ./setup.sh store
	cargo bench --package benches --bench many_machines --bench costs

load: ## Send videos at a rate and account for each: make load RATE=5 SECONDS=60 CLIPS="a.mp4 b.mkv" URL=http://...
	@$(if $(URL),,$(MAKE) --no-print-directory build)
	cargo run --quiet --release --package load -- $(if $(URL),--url $(URL)) --rate $(RATE) --seconds $(SECONDS) --clips $(CLIPS) $(MORE)

race: ## Race the command against what a user would run instead: make race VIDEOS="a.mp4 b.mkv"
	@./setup.sh bench
	@$(MAKE) --no-print-directory build
	benches/race.sh $(VIDEOS)

clean: ## Remove everything that was built
	cargo clean

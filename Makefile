.DEFAULT_GOAL := help
# Duration in seconds: of each target of `make fuzz`, and of `make load`.
SECONDS ?= 60
# Uploads per second of `make load`, and the clips to upload.
RATE ?= 5
CLIPS ?= fixtures/sample.mp4
# Minimum line coverage in percent of `make coverage`.
COVERAGE ?= 80
# libav to link: `static`, which setup.sh builds, or `system`.
export LIBAV ?= static
# Release of Debian or Ubuntu for `make verify-release`.
RELEASE ?= trixie
# Stories that need the DevTools protocol: they limit the network, run scripts before those of the
# page, set the size of the screen, or measure tasks. One sets the clock of the page, which scripts of
# geckodriver cannot reach. One expects that an image is gone when its URL is revoked; Firefox keeps
# it in its memory until the tab is closed or loads another page.
CHROMIUM_ONLY := page::uploads::sends_two_files page::uploads::retries_a_cancelled_upload \
  page::list_places::relative_times page::logout::thumbnails_are_released \
  page::resumable_uploads:: page::drops::asks_before page::options::works_without_storage \
  page::screenshots:: page::speed::
# Tools installed by setup.sh.
CACHED := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fiapx/bin
# Checker of Prometheus rules.
PROMTOOL = $(or $(shell command -v promtool),$(CACHED)/promtool)
# Known vulnerabilities of dependencies.
ADVISORIES := https://github.com/RustSec/advisory-db

.PHONY: help setup run build test test-quick test-libav-system test-firefox screenshots page-speed \
  lighthouse soak cuts coverage lint deny verify-deploy pin-images verify-release verify-upgrade \
  fuzz bench bench-servers bench-database load abuse race race-recipes clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## Install the system packages for a build
	@./setup.sh build

build: export FIAPX_COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
build: setup ## Build the optimized binary target/release/fiapx
	cargo build --release --package app

run: build ## Build and run the service at http://localhost:8000, with its data in ./data
	target/release/fiapx serve

test: ## Run all checks and tests, with real servers
	@./setup.sh test
	@{ nice ./setup.sh store && nice ./setup.sh deny; } & store=$$!; \
	{ $(MAKE) --no-print-directory lint && cargo build --workspace --bins --tests; } \
	|| { kill $$store; exit 1; }; \
	wait $$store
	@$(MAKE) --no-print-directory deny
	@$(MAKE) --no-print-directory verify-deploy
	cargo test --workspace

test-libav-system: ## Run the tests of the decoder with the libav of the system
	@LIBAV=system ./setup.sh build
	cargo test --package frames --lib

test-quick: ## Run the unit tests, which need no servers; with the system's libav: make test-quick LIBAV=system
	@./setup.sh build
	cargo test --workspace --exclude stories --exclude servers --lib --bins -- \
	  --skip rabbitmq::tests --skip s3::tests --skip on_a_server

test-firefox: ## Run the stories of the page in Firefox; without those of which only Chromium is capable
	@./setup.sh test && ./setup.sh firefox
	cargo build --workspace --bins --tests
	PATH="$(CACHED):$$PATH" STORY_BROWSER=firefox cargo test --workspace --test stories -- page:: \
	  --test-threads 2 $(addprefix --skip ,$(CHROMIUM_ONLY))

screenshots: ## Render every screen of the page: both languages, light and dark, phone and desktop
	@./setup.sh test
	cargo build --workspace --bins --tests
	SCREENSHOTS=all cargo test --workspace --test stories -- page::screenshots --nocapture

page-speed: ## Measure the page with many jobs and frames, on an idle machine: make page-speed ITEMS=10000
	@./setup.sh test
	cargo build --workspace --bins --tests
	PAGE_ITEMS=$(or $(ITEMS),10000) cargo test --workspace --test stories -- page::speed --nocapture \
	  --test-threads 1

lighthouse: build ## Measure list and job with Lighthouse, on an idle machine; fail below SCORE=95
	@./setup.sh test
	tests/lighthouse/run.sh target/release/fiapx $(or $(SCORE),95)

soak: ## Kill, pause, cut off and fill random servers and processes under load: make soak MINUTES=10
	@./setup.sh test && ./setup.sh store
	cargo build --workspace --bins --tests
	SOAK_MINUTES=$(or $(MINUTES),10) cargo test --workspace --test stories -- soak --nocapture

verify-upgrade: ## Upgrade and downgrade beside an older program: make verify-upgrade OLD=path or commit
	@./setup.sh test && ./setup.sh store
	cargo build --workspace --bins --tests
	tests/upgrade/run.sh "$(OLD)"

cuts: ## Cut every clip, and a resumable upload, at random places: make cuts CUTS=200
	@./setup.sh test && ./setup.sh store
	cargo build --workspace --bins --tests
	CUTS_PER_CLIP=$(or $(CUTS),200) UPLOAD_CUTS=$(or $(CUTS),200) cargo test --workspace \
	  --test stories -- cuts:: an_upload_that_is_cut_off_is_continued --nocapture

coverage: ## Run all tests and print the line coverage of each crate; fail below COVERAGE=80 percent
	@./setup.sh test && ./setup.sh store && ./setup.sh coverage
	tests/coverage/run.sh $(COVERAGE)

lint: ## Check formatting and lints
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets -- --deny warnings

deny: ## Check licenses, sources and known vulnerabilities of dependencies
	@./setup.sh deny
	$(CACHED)/cargo-deny --all-features check licenses bans sources
	@if timeout 20 git ls-remote --quiet $(ADVISORIES) HEAD >/dev/null 2>&1; then \
	  $(CACHED)/cargo-deny --all-features check advisories; \
	else \
	  echo "NOT CHECKED: known vulnerabilities, because $(ADVISORIES) is unreachable" >&2; \
	fi

verify-deploy: ## Check alerts, dashboards and Kubernetes manifests
	@./setup.sh test && ./setup.sh deploy
	$(PROMTOOL) check config docker/prometheus/prometheus.yml
	@# Debian's promtool lacks the Kubernetes service discovery, so that line is left out.
	sed /kubernetes_sd_configs/d docker/prometheus/kubernetes.yml \
	  | $(PROMTOOL) check config --syntax-only /dev/stdin
	$(PROMTOOL) test rules docker/prometheus/tests/*.yml
	docker/grafana/dashboards.py --check $(PROMTOOL)
	docker/k8s/validate.sh

pin-images: ## Write the digests of all images behind their tags; needs access to the registries
	docker/pin.sh

verify-release: ## Build and test in a chroot with a fresh Debian or Ubuntu; needs root: make verify-release RELEASE=noble
	tests/release/verify.sh $(RELEASE)

fuzz: ## Fuzz everything that processes untrusted input: make fuzz SECONDS=60
	@./setup.sh test && ./setup.sh fuzz
	tests/fuzz/run.sh $(SECONDS)

bench: build ## Benchmark the engine step by step, and the overhead of the service
	@./setup.sh bench
	cargo bench --package benches --bench steps --bench pipeline --bench service

bench-servers: build ## Benchmark the service on real servers: uploads, overhead, memory, cost per video
	@./setup.sh test && ./setup.sh store
	cargo bench --package benches --bench many_machines --bench costs

bench-database: ## Measure the periodic statements on 11 million jobs, in 10 GB: make bench-database MORE="--finished 1000000"
	@./setup.sh test
	cargo run --quiet --package bench-database -- $(MORE)

load: ## Upload at a constant rate and verify every result: make load RATE=5 SECONDS=60 CLIPS="a.mp4" URL=http://...
	@$(if $(URL),,$(MAKE) --no-print-directory build)
	cargo run --quiet --release --package load -- $(if $(URL),--url $(URL)) --rate $(RATE) \
	  --seconds $(SECONDS) --clips $(CLIPS) $(MORE)

abuse: build ## Attack a service with fifty hostile users beside an honest one: make abuse SECONDS=300
	cargo run --quiet --release --package load -- abuse --seconds $(SECONDS) $(MORE)

race: ## Compare the speed of fiapx with other tools: make race VIDEOS="a.mp4 b.mkv"
	@./setup.sh bench
	@$(MAKE) --no-print-directory build
	benches/race.sh $(VIDEOS)

race-recipes: ## Compare the speed of recipes with ffmpeg on one hour: make race-recipes VIDEO=a.mp4
	@./setup.sh bench
	@$(MAKE) --no-print-directory build
	benches/race_recipes.sh $(VIDEO)

clean: ## Remove all build results
	cargo clean

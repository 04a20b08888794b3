# The four things that people do here. Everything else is cargo.
#
#   make demo    build, then start the demo on 127.0.0.1:8025 with a simulated internet; nothing leaves the machine
#   make test    install what the tests need and is missing, then run every test (below 40 minutes on 2 cores)
#   make bench   figures beside their counterparts, as ratios
#   make soak    the long stories: kill -9 twenty times on each database, a database that goes away, ...

LISTEN ?= 127.0.0.1:8025
CARGO ?= cargo

.PHONY: all demo build frontend check test bench soak clean

all: build

frontend: frontend/dist/manifest.json

frontend/dist/manifest.json: frontend/package.json frontend/package-lock.json frontend/build.mjs $(wildcard frontend/src/*)
	cd frontend && npm ci --ignore-scripts --no-audit --no-fund && node build.mjs

build: frontend
	$(CARGO) build --release --locked -p mailwright

demo: build
	target/release/mailwright demo --listen $(LISTEN)

# Formatting and lints alone; `make test` begins with them.
check: frontend
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

test: frontend
	scripts/test-tools
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) build --locked --workspace
	$(CARGO) test --locked --workspace --lib --bins --tests
	/usr/bin/python3 -m unittest discover -s tests/python
	scripts/test-pages

bench: frontend
	scripts/test-tools
	$(CARGO) build --release --locked -p mailwright
	target/release/mailwright bench

soak: frontend
	scripts/test-tools
	$(CARGO) build --release --locked -p mailwright
	MAILWRIGHT_SOAK=1 $(CARGO) test --release --locked -p stories -- --nocapture --test-threads 1 soak receivers real_servers as_many_domains

clean:
	$(CARGO) clean
	rm -rf frontend/dist frontend/node_modules

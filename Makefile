# make alone lists what there is. Needs Go, make and bash; interop and the emulators need python3,
# the race detector a C compiler.

GO          ?= go
FUZZTIME    ?= 30s
BENCHTIME   ?= 1s
COUNT       ?= 1
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := help
.PHONY: help test check fmt fmt-check vet staticcheck lint race invariants shuffle fuzz examples nested cross \
	bench bench-peers golden interop emulators clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## run all tests, the seeds of the fuzz functions included
	$(GO) test ./...

check: fmt-check vet staticcheck lint test invariants examples nested cross race ## all that a change must pass, but for interop

fmt: ## format the code
	gofmt -w $$(find . -name '*.go' -not -path './.cache/*' -not -name '*_generated.go')

fmt-check: ## fail when a file is not formatted
	@bad=$$(gofmt -l $$(find . -name '*.go' -not -path './.cache/*' -not -name '*_generated.go')); \
	if [ -n "$$bad" ]; then echo "not formatted (make fmt):"; echo "$$bad"; exit 1; fi

vet: ## run go vet
	$(GO) vet ./...
	$(GO) vet -tags invariants,interop,emulators,shuffle ./...

staticcheck: ## run staticcheck
	$(GO) run $(STATICCHECK) ./...

lint: ## check the package graph, the seams, the README's programs and forbidden text
	$(GO) test -count=1 ./internal/lint

race: ## run all tests under the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout 20m ./...

invariants: ## run the engine's tests with its internal checks on
	$(GO) test -tags invariants $$($(GO) list ./... | grep -v -e /cmd/ -e /examples/ -e /internal/lint -e /internal/interop)

shuffle: ## run the engine's tests in orders of events that a quiet machine never shows (COUNT times)
	$(GO) test -count=$(COUNT) -timeout 60m -tags shuffle $$($(GO) list ./... | grep -v -e /cmd/ -e /examples/ -e /internal/lint -e /internal/interop)

fuzz: ## fuzz each target for FUZZTIME (30s)
	FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

examples: ## build and run the examples
	@for dir in examples/*/; do echo "== $$dir"; $(GO) run ./$$dir || exit 1; done

nested: ## vet and test the benchmark's own modules
	$(GO) -C internal/bench vet ./...
	$(GO) -C internal/bench test ./...
	$(GO) -C internal/bench/peers/go vet ./...

cross: ## build and vet without cgo for linux, darwin and windows on amd64, arm64 and 386
	scripts/cross.sh

bench: ## run the Go benchmarks of all packages for BENCHTIME (1s) each
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

bench-peers: ## compare with the other engines (see scripts/bench-peers.sh for its settings)
	scripts/bench-peers.sh $(ARGS)

golden: ## rewrite golden files and show what changed
	scripts/golden.sh

interop: ## exchange databases with the original engine (installs its Python wheel under .cache)
	@py=$$(scripts/pyvenv.sh) && SLATEDB_PY=$$py $(GO) test -count=1 -tags interop -timeout 10m ./internal/interop

emulators: ## run the store, model, kill and two-engine tests on local S3, GCS and Azure servers (installs them under .cache)
	scripts/emulators/suites.sh $(SERVERS)

clean: ## remove what the scripts downloaded and built
	chmod -R u+w .cache 2>/dev/null; rm -rf .cache

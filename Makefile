# Everything that can be done here; "make" alone lists it. Needs Go; a C compiler makes the tests look for races.

GO      ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# The race detector needs cgo, and cgo a C compiler.
RACE    := $(shell command -v $$($(GO) env CC) >/dev/null 2>&1 && echo -race)
LINT    := bin/golangci-lint-v2.15.0
LAB     := $(addprefix TRIBUTARY_TEST_,POSTGRES KAFKA REGISTRY CONNECT S3)
export CGO_ENABLED := $(if $(RACE),1,0)

.PHONY: help build test test-real lint demo lake drill bench fuzz clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## write bin/tributary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/tributary ./cmd/tributary

test: ## all tests that need nothing but Go (Postgres comes from Maven Central, once)
	env $(LAB:%=-u %) $(GO) test $(RACE) -timeout 20m -skip '^TestReal' ./... && cd deploy/check && $(GO) test ./...

test-real: ## tests against the servers in TRIBUTARY_TEST_POSTGRES, _KAFKA, _REGISTRY, _CONNECT, _S3
	@$(foreach v,$(LAB),[ -n "$$$(v)" ] || echo "$(v) is not set: its tests are skipped";)
	$(GO) test -timeout 40m -count=1 -p 2 -tags browser -run '^TestReal' ./...
	@printf '%s\n' $$TRIBUTARY_TEST_POSTGRES | xargs -rI SERVER -P 2 env TRIBUTARY_TEST_POSTGRES=SERVER \
		$(GO) test -timeout 20m -count=1 -p 1 ./decoder ./snapshot # together: they wait more than they work

lint: $(LINT) ## formatting, static analysis, the house rules, go.mod
	$(LINT) fmt --diff
	$(LINT) run
	$(GO) test -count=1 ./cmd/tidy
	$(GO) mod tidy -diff

$(LINT): # built once, by its exact version; the name of the file says which
	mkdir -p bin
	GOBIN=$(CURDIR)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv bin/golangci-lint $@

demo: build ## see it work; KEEP=1 leaves it running, SOURCE=postgres://... uses your own server
	@$(GO) run ./cmd/demo bin/tributary

lake: build ## the demo's statements on real parts, as far as S3 and SQL; needs Java 21, Maven and npm
	@$(GO) run ./cmd/lake bin/tributary deploy

drill: build ## faults drawn by SEED for ROUNDS rounds, DELIVERY=at-least-once too; FLAGS: go run ./cmd/drill -help
	$(GO) run ./cmd/drill -seed $(or $(SEED),1) -rounds $(or $(ROUNDS),10) \
		-delivery $(or $(DELIVERY),exactly-once) -kafka "$(TRIBUTARY_TEST_KAFKA)" \
		-registry "$(TRIBUTARY_TEST_REGISTRY)" $(FLAGS)

bench: build ## speed beside the servers' own; CASE=quick, or words of names; ROWS= RUNS= DEBEZIUM=1 OUT=FILE
	@$(GO) run ./cmd/bench -binary bin/tributary -out "$(or $(OUT),bench.jsonl)"

bench-micro: ## nanoseconds, bytes and allocations for each row
	$(GO) test -run '^$$' -bench . -benchmem ./decoder ./schema ./publisher

fuzz: ## each fuzz target for 30 s
	@grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9]+' . | sed -E 's|/[^/]*:func | |' | while read dir name; do \
		echo "$$dir $$name"; $(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime 30s $$dir </dev/null || exit 1; done

deploy-check: ; $(MAKE) -C deploy check ## chart, manifests, templates and builds: what CI leaves to deploy/Makefile
clean: ## remove what was built, and the results of tests
	rm -rf bin
	$(GO) clean -testcache

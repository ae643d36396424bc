# make demo   see the whole of Portero work, on real input
# make test   everything that must hold

GO    ?= go
STATIC = CGO_ENABLED=0 $(GO) build -trimpath
NODE_DEPS = demo/node_modules/.installed

.PHONY: all build deps demo test lint unit race e2e fuzz bench clean

all: build

build:
	$(STATIC) -o bin/portero-stdio ./cmd/portero-stdio
	$(STATIC) -o bin/portero-relay ./cmd/portero-relay

# The MCP client and servers from npm, pinned by demo/package-lock.json.
deps: $(NODE_DEPS)

$(NODE_DEPS): demo/package-lock.json
	cd demo && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

demo: build deps
	node demo/demo.mjs

test: lint build deps
	$(GO) test -race ./...

lint:
	@test -z "$$(gofmt -l cmd proxy relay shared e2e)" || { gofmt -d cmd proxy relay shared e2e; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod verify >/dev/null

# Every fuzz target, FUZZTIME executions each. A count, not a duration: up to
# Go 1.26 a duration that ends while an input runs is reported as a failure
# (go.dev/issue/75804).
FUZZTIME ?= 100000x
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1000x $$pkg; \
	  done; done

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

clean:
	rm -rf bin demo/node_modules

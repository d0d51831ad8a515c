# `make` without a target lists the targets.

LINT = go tool -modfile=tools/go.mod golangci-lint
FUZZTIME = 30s
MINUTES = 2
SEED = 0
MESSAGES = 10000
RUN = .

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-7s  %s\n", $$1, $$2 }' Makefile

demo: ## run everything on this machine: NATS, a fake API, a worker and three tasks
	go run ./cmd/capstan demo

check: tidy lint test k8s chaos-short ## run everything that CI runs

test: test-race test-norace ## run all tests with the race detector, in random order; without it those that it skips

test-race:
	go test -race -shuffle=on ./...

test-norace: # the packages with tests of memory and time, which the race detector would change
	go test $$(grep -rl --include='*_test.go' natstest.RaceDetector . | xargs -n 1 dirname | sort -u)

chaos: ## break real processes for MINUTES (2) and count the results; SEED, ARGS=-h
	go run ./test/chaos -minutes $(MINUTES) -seed $(SEED) $(ARGS)

chaos-short: # the part that takes a few minutes
	go run ./test/chaos -short

bench: ## measure the worker and write docs/benchmarks.md; ARGS=-h
	go run ./bench -json docs/benchmarks.json $(ARGS)
	go run ./bench -markdown

bench-%: # one benchmark: make bench-throughput
	go run ./bench -json docs/benchmarks.json $(ARGS) $*
	go run ./bench -markdown

fuzz: ## run each fuzz target for FUZZTIME (30s)
	@targets=$$(go test -list '^Fuzz' ./...) || { echo "$$targets"; exit 1; }; \
	echo "$$targets" | awk '/^Fuzz/ { name[n++] = $$1 } /^ok/ { while (n > 0) print name[--n], $$2 }' | \
	while read -r name package; do \
		echo "$$name in $$package"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null || exit 1; \
	done

hostile: ## send MESSAGES (10000) hostile messages and answers to a worker with a pod's memory; RUN=regexp
	CAPSTAN_HOSTILE_MESSAGES=$(MESSAGES) go test -count=1 -v -timeout 60m -run '$(RUN)' ./test/hostile

api: ## write the schemas in api/ as the code says
	go generate ./internal/contract

release: api ## copy the schemas of the version in internal/contract/version.go to api/released, until it is tagged
	@v=v$$(sed -n 's/^const Version = "\(.*\)"$$/\1/p' internal/contract/version.go); \
	if git rev-parse --quiet --verify "refs/tags/$$v" >/dev/null; then echo "$$v is tagged: raise Version in internal/contract/version.go" >&2; exit 1; fi; \
	rm -rf "api/released/$$v" && mkdir -p "api/released/$$v" && cp api/*.schema.json "api/released/$$v/" && echo "wrote api/released/$$v"

cover: ## measure how much of internal/ the tests cover; cover.html shows where
	go test -coverpkg=./internal/... -coverprofile=cover.out ./...
	go tool cover -html=cover.out -o cover.html
	@go tool cover -func=cover.out | tail -n 1

lint: ## run golangci-lint and go fix; both must find nothing
	$(LINT) run ./...
	$(LINT) run --build-tags nodemo --tests=false ./cmd/... # as in the image
	cd k8s/test && go tool -modfile=../../tools/go.mod golangci-lint run ./...
	go fix -diff ./...

vuln: ## search the linked modules for known vulnerabilities
	.ci/vuln

fmt: ## format and modernize the code
	go fix ./...
	$(LINT) fmt ./...

build: ## build bin/worker and bin/capstan
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -o bin/ \
		-ldflags "-X main.version=$$(git describe --tags --always --dirty 2>/dev/null || echo dev)" ./cmd/...

tidy: ## check that every go.mod and go.sum is tidy
	go mod tidy -diff
	cd tools && go mod tidy -diff
	cd k8s/test && go mod tidy -diff

k8s: ## check the manifests against the API's types and this worker; needs no cluster
	cd k8s/test && go test -shuffle=on ./...

image: ## build the image capstan:dev with Docker or buildah; GO_IMAGE pins its base
	k8s/image.sh

image-demo: # capstan:demo, which has the demo and the stub as well
	k8s/image.sh demo

.PHONY: help demo check test test-race test-norace chaos chaos-short bench fuzz hostile api release cover lint vuln fmt build tidy k8s image image-demo

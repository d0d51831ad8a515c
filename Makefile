# bare `make` says what there is.

LINT = go tool -modfile=tools/go.mod golangci-lint
FUZZTIME = 30s
MINUTES = 2
SEED = 0
MESSAGES = 10000
RUN = .

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-7s  %s\n", $$1, $$2 }' Makefile

demo: ## the whole line on this machine: NATS, a stand-in for the API, a worker, tasks
	go run ./cmd/capstan demo

check: tidy lint test k8s chaos-short ## what CI runs

test: ## all tests, with the race detector, in random order
	go test -race -shuffle=on ./...

chaos: ## real processes, broken in every way for MINUTES (2), and then a count; SEED, ARGS=-h
	go run ./test/chaos -minutes $(MINUTES) -seed $(SEED) $(ARGS)

chaos-short: # the part of it that takes a minute
	go run ./test/chaos -short

bench: ## what the worker does and takes, held against the floor; figures to docs/benchmarks.md; ARGS=-h
	go run ./bench -json docs/benchmarks.json $(ARGS)
	go run ./bench -markdown

bench-%: # one of them: make bench-throughput
	go run ./bench -json docs/benchmarks.json $(ARGS) $*
	go run ./bench -markdown

fuzz: ## each fuzz target for FUZZTIME (30s)
	@targets=$$(go test -list '^Fuzz' ./...) || { echo "$$targets"; exit 1; }; \
	echo "$$targets" | awk '/^Fuzz/ { name[n++] = $$1 } /^ok/ { while (n > 0) print name[--n], $$2 }' | \
	while read -r name package; do \
		echo "$$name in $$package"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null || exit 1; \
	done

hostile: ## MESSAGES (10000) and answers that want to crash, stall or bloat a worker in a pod's memory; RUN=regexp
	CAPSTAN_HOSTILE_MESSAGES=$(MESSAGES) go test -count=1 -v -timeout 60m -run '$(RUN)' ./test/hostile

cover: ## how much of internal/ the tests reach; cover.html shows where
	go test -coverpkg=./internal/... -coverprofile=cover.out ./...
	go tool cover -html=cover.out -o cover.html
	@go tool cover -func=cover.out | tail -n 1

lint: ## golangci-lint, formatting included, and go fix, which must have nothing to say
	$(LINT) run ./...
	$(LINT) run --build-tags nodemo --tests=false ./cmd/... # as in the image
	cd k8s/test && go tool -modfile=../../tools/go.mod golangci-lint run ./...
	cd k8s/test/apiserver && go tool -modfile=../../../tools/go.mod golangci-lint run ./...
	go fix -diff ./...

vuln: ## known vulnerabilities in what is linked; says so where the database cannot be reached
	.ci/vuln

fmt: ## format and modernize the code
	go fix ./...
	$(LINT) fmt ./...

build: ## bin/worker and bin/capstan
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -o bin/ \
		-ldflags "-X main.version=$$(git describe --tags --always --dirty 2>/dev/null || echo dev)" ./cmd/...

tidy: ## fails where go.mod or go.sum is not tidy
	go mod tidy -diff
	cd tools && go mod tidy -diff
	cd k8s/test && go mod tidy -diff
	cd k8s/test/apiserver && go mod tidy -diff

k8s: ## the manifests, held against the API's types and the worker of this tree; no cluster needed
	cd k8s/test && go test -shuffle=on ./...
	cd k8s/test/apiserver && go vet ./... # it has to compile, also where it is skipped
	@if [ -n "$$KUBEBUILDER_ASSETS" ]; then cd k8s/test/apiserver && go test ./...; \
	else echo "SKIPPED  k8s/test/apiserver: KUBEBUILDER_ASSETS names no folder with kube-apiserver and etcd"; fi

image: ## the image capstan:dev, by Docker, or by buildah where no engine runs; GO_IMAGE pins its base
	k8s/image.sh

.PHONY: help demo check test chaos chaos-short bench fuzz hostile cover lint vuln fmt build tidy k8s image

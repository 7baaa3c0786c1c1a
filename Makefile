# What people and CI run. Everything works with plain `go` too; see README.md.

.PHONY: build test lint generated race sim bits bits-arm64 fuzz bench chaos failover compose-e2e compose-chaos clean

build:                     ## the three programs, static, into bin/
	CGO_ENABLED=0 go build -o bin/ ./cmd/...

servers:                   ## the pinned nats-server, etcd and versitygw that tests start
	go run ./internal/testservers/build

test: servers
	go test -timeout 30m ./...

lint:
	test -z "$$(gofmt -l .)"
	go vet -composites=false ./...
	go -C examples/own vet ./...
	go tool -modfile=tools/go.mod staticcheck ./...

generated:                 ## the committed assembly is what its generator writes
	d=$$(mktemp -d) && go run -C internal/kernel/asmgen . $$d && for f in $$d/*.s; do cmp $$f internal/kernel/$$(basename $$f) || exit 1; done && rm -r $$d

race:                      ## packages with concurrency; -short leaves the long ones to `test`
	go test -race -short -timeout 20m ./internal/coordinator ./internal/natsbus ./internal/etcdstate ./internal/localstack ./internal/s3store \
		./pkg/checkpoint/... ./pkg/client ./pkg/worker ./pkg/metatrain ./pkg/taskshards

sim:                       ## whole clusters in virtual time under random faults: make sim SEEDS=1000000
	WARMSTART_SIM_SEEDS=$(or $(SEEDS),100000) go test -count=1 -timeout 24h -v -run TestSimulation ./pkg/metatrain

bits:                      ## the same bits from plain Go, AVX2, the race detector, and GOAMD64=v3, where the compiler fuses
	go test -skip Mutants -tags noasm ./internal/kernel ./pkg/nn ./pkg/learner
	go test -skip Mutants -tags noavx512 ./pkg/nn ./pkg/learner
	go test -race -run 'Bits|Group|SideBySide' ./pkg/nn ./pkg/learner
	GOAMD64=v3 go test -skip Mutants ./internal/kernel ./pkg/nn ./pkg/learner ./pkg/taskshards

bits-arm64:                ## the same bits from arm64, where the compiler fuses, under Debian's qemu-user-static
	@command -v qemu-aarch64-static >/dev/null || { echo "qemu-aarch64-static is missing: apt-get install -y qemu-user-static"; exit 1; }
	GOARCH=arm64 CGO_ENABLED=0 go test -skip Mutants -timeout 30m -exec qemu-aarch64-static ./internal/kernel ./pkg/nn ./pkg/learner

# Twice, since Go before 1.27 now and then fails at the end of the time with "context deadline exceeded" and nothing
# found (golang/go#75804). What is found is kept in testdata/fuzz, and the second run begins with it.
fuzz:                      ## decoders, models and learners for a while: make fuzz FUZZTIME=1m
	for t in $$(grep -rhoE 'func Fuzz[A-Za-z0-9_]+' --include=*_test.go pkg internal | cut -c6-); do \
		p=$$(grep -rlE "func $$t\(" --include=*_test.go pkg internal | xargs dirname); \
		set -- go test -run xxx -fuzz "^$$t$$" -fuzztime $(or $(FUZZTIME),5s) ./$$p; \
		"$$@" || "$$@" || exit 1; done

chaos:                     ## a cluster of processes under faults at random: make chaos EVENTS=500 SEED=7 ONLY=kill
	go run ./internal/chaos --events $(or $(EVENTS),100) --seed $(or $(SEED),0) --only=$(ONLY)

failover:                  ## how long a killed leader, and a killed worker, take to be replaced: make failover KILLS=20
	go run ./internal/chaos --failover $(or $(KILLS),20) --json

compose-e2e:               ## the compose file end to end; needs a Docker engine
	deploy/compose/e2e.sh

compose-chaos:             ## its containers killed, paused and cut off: make compose-chaos EVENTS=20 STEPS=40000 SEED=7
	EVENTS=$(EVENTS) STEPS=$(STEPS) SEED=$(SEED) deploy/compose/chaos.sh

clean:
	rm -rf bin .cache

# `make` is the whole truth: what it accepts can be committed, and .ci/run calls
# it. Targets run in each module of the repository, the root and those nested in
# it; the tools are pinned in internal/tools, which no other module requires.
module  = github.com/genaistore/genaistore
modules = $(filter-out internal/tools/,$(dir $(shell git ls-files '*go.mod')))
tool    = go tool -modfile=$(CURDIR)/internal/tools/go.mod
each    = @failed=; for m in $(modules); do echo "== $@ $$m"; (cd $$m && $(1)) || failed="$$failed $$m"; done; \
	if [ "$$failed" ]; then echo "$@ failed in:$$failed"; exit 1; fi

# Platforms besides this one that the root module must build on, tests included.
platforms = linux/arm64 darwin/arm64 windows/amd64

# How long each fuzz target runs.
FUZZTIME ?= 30s

# How often the processes of one test of make nfs take a lock from each other.
NFS_ACQUISITIONS ?= 2000

# A copy of the Go vulnerability database, for machines that cannot ask the one online.
vulndb = $(or $(GENAISTORE_VULNDB),$(wildcard $(abspath ../shared/data/vulndb)))

.PHONY: all tidy fmt lint test bench benchmarks fuzz readme cover api vuln vet-cross simd integration integration-minio peers kit nfs nightly
all: tidy lint test

tidy: # fails where go.mod or go.sum is stale
	$(call each,go mod tidy -diff)

fmt:
	$(call each,$(tool) golangci-lint fmt)

lint:
	$(call each,$(tool) golangci-lint run)

test:
	$(call each,go test -race -shuffle=on -timeout 20m ./...)

bench: # ours beside named peers, ratios in one run; with Go's SIMD experiment and without
	cd internal/bench && go run .
	cd internal/bench && GOEXPERIMENT=simd go run .

benchmarks: # compare two runs with: go tool -modfile=internal/tools/go.mod benchstat old.txt new.txt
	go test -run='^$$' -bench=. -benchmem -count=10 ./... | tee new.txt

fuzz: # every fuzz target of every module, FUZZTIME each
	$(call each,for p in $$(go list -f '{{.Dir}}' ./...); do \
		for f in $$(cat $$p/*_test.go /dev/null 2>/dev/null | grep -oE '^func Fuzz[A-Za-z0-9_]*' | cut -c6-); do \
			go test $$p -run='^$$' -fuzz="^$$f$$" -fuzztime=$(FUZZTIME) || exit 1; done; done)

readme: # the Go in README files, as it stands in the files it is taken from
	go test ./internal/style -run TestUpdateREADME -update

cover:
	go test -coverpkg=./... -coverprofile=cover.out ./... && go tool cover -func=cover.out | tail -1

# Compared with the files of the tag, not with what a proxy serves: so it works before
# the tag is published, and without a network.
api: # what a release would change for callers
	@if tag=$$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null); then set -e; \
		old=$(CURDIR)/.cache/api/$$tag; mkdir -p $$old; git archive $$tag | tar -x -C $$old; \
		(cd $$old && $(tool) apidiff -m -w $$old.export $(module)); \
		echo "api: changes since $$tag"; $(tool) apidiff -m $$old.export $(module); \
	else echo "api: no tag yet, so there is no release to compare with"; fi

vuln: # known vulnerabilities in what we call
ifneq ($(vulndb),)
	$(call each,$(tool) govulncheck -db file://$(vulndb) ./...)
else
	@echo "vuln: SKIPPED: set GENAISTORE_VULNDB to a copy of the Go vulnerability database"
endif

vet-cross: # the root module and its tests, on the platforms that are not this one
	@set -e; for p in $(platforms); do echo "== $@ $$p"; \
		export CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/}; go build ./...; go vet ./...; done

simd: # the search kernels with Go's SIMD experiment, which the default build leaves out
	GOEXPERIMENT=simd go test ./vectors/...

# Run in its folder, the suites show what ran where also when all is well.
integration: # the suites on servers that nobody here wrote; installs them below .cache
	cd examples && go build -o ../.cache/assistant ./assistant
	cd examples && CGO_ENABLED=0 go build -tags lambda.norpc -o ../.cache/stepfunctions ./stepfunctions
	cd internal/integration && GENAISTORE_INSTALL=1 go test -count=1 -timeout 30m
	cd internal/integration && go test -count=1 ./servers/...
	$(MAKE) peers

peers: # what others keep conversations in, beside ours: requests, capacity units and bytes of each
	cd internal/bench/peers && GENAISTORE_INSTALL=1 go test -count=1 -timeout 30m -v

integration-minio: # the same, and on MinIO, whose build takes minutes
	cd internal/integration && GENAISTORE_INSTALL=1 GENAISTORE_MINIO=1 go test -count=1 -timeout 60m

kit: # the own tests of the Agent Development Kit, on our sessions and artifacts: in memory, or KIT=memory,dynamodb,s3
	cd adapters/adk/internal/kittests && GENAISTORE_KIT=$(or $(KIT),memory) GENAISTORE_INSTALL=1 go test -count=1 -timeout 30m

# The tests of shared files in guest kernels with an NFSv4.1 server and clients of it,
# side by side, for they wait more than they compute: on the kernel's server, with
# machines that are frozen, and as an ordinary user. nfs-ganesha is another server, and
# takes longer. What it cannot do is skipped there: it tells clients of changes by its
# kernel's clock, too coarse for writes and removes at the same time, and forgets no
# client alone, as the comparison with the simulation asks.
nfstests = nfs-knfsd nfs-machines nfs-user
.PHONY: $(nfstests) nfs-ganesha

nfs:
	go run ./internal/nfstest/nfsexec -install
	go build -o .cache/nfstest/nfsexec ./internal/nfstest/nfsexec
	$(MAKE) --no-print-directory -k -j3 --output-sync=target $(nfstests)

$(nfstests) nfs-ganesha: export CGO_ENABLED = 0
$(nfstests) nfs-ganesha: export GENAISTORE_NFS_TIMEOUT = 45m
$(nfstests) nfs-ganesha: export GENAISTORE_NFS_ACQUISITIONS = $(NFS_ACQUISITIONS)
guest = go test -count=1 -p=1 -timeout 45m -exec='$(CURDIR)/.cache/nfstest/nfsexec'
frozen = Frozen|Freeze|MachineThat
nfs-knfsd:
	$(guest) -run=NFS -skip='^TestNFS.*($(frozen))' ./fsshare/efsshare
nfs-machines:
	$(guest) -run='^TestNFS.*($(frozen))' ./fsshare/efsshare
	$(guest) ./internal/nfstest
	cd examples && GENAISTORE_CACHE=$(CURDIR)/.cache $(guest) ./share
nfs-ganesha: export GENAISTORE_NFS_SERVER = ganesha
nfs-ganesha:
	$(guest) -run=NFS -skip='^TestNFS.*($(frozen))|TestNFSRandomPrograms|/files/WriteFile_succeeds_while_another' ./fsshare/efsshare
	$(guest) -short ./internal/nfstest
nfs-user: export GENAISTORE_NFS_USER = 1000
nfs-user:
	$(guest) -run='NFSPassesTheSuite|Denied|Quota|ReadingOnly|FullDisk|StaleHolder|CutHolder' ./fsshare/efsshare

nightly: all vet-cross simd integration-minio vuln
	$(MAKE) nfs nfs-ganesha NFS_ACQUISITIONS=10000
	$(MAKE) kit KIT=memory,dynamodb,s3
	cd adapters/eino/internal/einotests && GENAISTORE_KIT=memory go test -count=1 -timeout 30m -v
	$(MAKE) peers
	GENAISTORE_SCHEDULES=80000 go test -count=1 -timeout 2h -run TestModelNothingIsLost ./artifacts/s3artifacts
	GENAISTORE_SCHEDULES=10000 go test -count=1 -timeout 1h -v -run 'TestThreeProcessesOverOneTable|TestOfManyAttempts' ./memory/dynamomemory
	$(MAKE) fuzz FUZZTIME=5m

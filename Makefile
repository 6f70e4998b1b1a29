# NetFlowCoin router. `make help` lists what there is.
SHELL := /bin/bash
CARGO := cargo
export PATH := $(HOME)/.cargo/bin:$(PATH)
LAB := target/release/netflow-lab

.DEFAULT_GOAL := help
.PHONY: help setup build test test-unit test-lab test-slow bench-failover bench-flood bench-dataplane flamegraph demo lab measure fuzz sim sim-day sim-chain bench-exec localnet crash-chain bench-chain memory-chain clients-chain conformance contracts-check audit clean-lab size

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what building and testing need (Debian packages, Rust when there is none new enough)
	@bash scripts/setup.sh

build: setup ## Build what a router runs: target/release/netflowd and netctl
	$(CARGO) build --release

test: setup ## Build and run every test, the lab's included (root; at most 60 minutes cold on 2 cores)
	@bash scripts/test.sh

test-unit: setup ## Only the tests that need no root
	@bash scripts/test.sh build unit

test-lab: setup ## Only the tests in network namespaces
	@bash scripts/test.sh build lab

test-slow: setup ## The two cells of the NAT matrix that need minutes of patient search, RUNS (default 20) pairs each, with the distribution
	@$(CARGO) build --release -p netflowd -p netctl -p netflow-lab
	@$(LAB) patient --runs $(or $(RUNS),20)

bench-failover: setup ## Cut the direct path, kill the relay in use, switch the uplink under running traffic; print the gaps
	@$(CARGO) build --release -p netflowd -p netctl -p netflow-lab
	@$(LAB) failover

bench-flood: setup ## 100,000 forged handshakes a second at an edge node and at a relay: what is left of iperf3, how long a join takes
	@$(CARGO) build --release -p netflowd -p netctl -p netflow-lab
	@$(LAB) flood

bench-dataplane: setup ## Data path beside other overlays and the yardstick: DRIVERS=a,b (default: all that matter), TOPO=direct,relay, ROUNDS (5), SECS (10); root
	@$(if $(NETFLOWD_BIN),true,$(CARGO) build --release -p netflowd -p netctl -p netflow-lab)
	@bash lab/bench/run.sh

flamegraph: setup ## Where netflowd's CPU goes under one TCP stream: target/flamegraph/TOPO.svg (TOPO=direct or relay, DRIVER=netflow); root and perf
	@command -v perf >/dev/null || { echo "flamegraph: perf is missing; try: apt-get install linux-perf" >&2; exit 1; }
	@$(if $(NETFLOWD_BIN),true,RUSTFLAGS="-C force-frame-pointers=yes" $(CARGO) build --profile profiling -p netflowd -p netctl)
	@bash lab/bench/install.sh
	@$(if $(NETFLOWD_BIN),,NETFLOWD_BIN=$(CURDIR)/target/profiling/netflowd NETCTL_BIN=$(CURDIR)/target/profiling/netctl) python3 lab/bench/bench.py flames $(or $(DRIVER),netflow) $(or $(TOPO),direct) --out target/flamegraph/$(or $(TOPO),direct).svg

demo: setup ## Homes behind NATs, one private network, direct paths, relays that cannot read it: the main job, told as it happens
	@$(CARGO) build --release -p netflowd -p netctl -p netflow-lab
	@$(LAB) demo

lab: setup ## The demo's little internet, left running for you to play in (Ctrl-C removes it)
	@$(CARGO) build --release -p netflowd -p netctl -p netflow-lab
	@$(LAB) shell

measure: setup ## Size, memory, idle traffic (IDLE seconds, default 300) and join time against their budgets
	@$(CARGO) build --release -p netflowd -p netctl -p netflow-lab
	@$(LAB) measure --idle $(or $(IDLE),300)

size: setup ## Stripped size of netflowd against its budget
	@$(CARGO) xtask size

fuzz: setup ## Fuzz every parser for SECONDS_EACH (default 60) on the stable compiler
	@scripts/fuzz.sh overlay/fuzz $(or $(SECONDS_EACH),60)
	@scripts/fuzz.sh chain/fuzz $(or $(SECONDS_EACH),60)

sim: setup ## Nodes behind NATs in virtual time: SEEDS=n [FIRST=0] histories (default 500), SEED=n one again with a trace, NODES=n [MINUTES=60] one large world
	@$(CARGO) build --profile sim -p netflow-sim
	@target/sim/netflow-sim $(if $(NODES),nodes $(NODES) $(MINUTES),$(if $(SEED),seed $(SEED),seeds $(or $(SEEDS),500) $(FIRST)))

sim-day: setup ## A network of MEMBERS (default 101) who never talk, for a simulated day: what each sends and receives, against its budget
	@$(CARGO) build --profile sim -p netflow-sim
	@target/sim/netflow-sim day $(MEMBERS)

sim-chain: setup ## Whole chains in virtual time: SEEDS=n histories (default 500, from FIRST, default 1), SEED=n one again with what happens
	@$(CARGO) build -q --workspace --bin netchain-sim
	@target/debug/netchain-sim $(if $(SEED),seed $(SEED),seeds $(or $(SEEDS),500) $(FIRST))

bench-exec: setup ## Chain execution: transfers/s on one core, memory at a million accounts, snapshot there and back
	$(CARGO) run --release -p netchain-exec --example bench_exec
	$(CARGO) run --release -p netchain-exec --example million_accounts

localnet: setup ## A chain of WITNESSES (default 4) processes on this machine, with RPC and funded accounts (Ctrl-C ends it)
	@bash scripts/localnet.sh

crash-chain: setup ## Kill processes of a local chain under load, KILLS (default 20) times: same state, nothing acknowledged is lost; DEAD=1: 6 of 21 dead, then 7
	@$(CARGO) build --workspace --examples --bins
	@target/debug/examples/crash $(if $(DEAD),--dead --witnesses $(or $(WITNESSES),21),--kills $(or $(KILLS),20) --witnesses $(or $(WITNESSES),4) --seed $(or $(SEED),1))

# The development profile is what everybody has compiled, with its dependencies and the chain's crates optimised; PROFILE=bench-chain is
# what a server runs, and compiles RocksDB once more.
bench-chain: setup ## Transfers a second of a local chain, CPU of each and where it goes: 4 processes at RATE (2100), then 21 witnesses in one process at RATE21 (550), SECONDS_LONG (300) each
	@$(CARGO) build $(if $(PROFILE),--profile $(PROFILE) -p netchaind,--workspace) --examples --bins
	@target/$(or $(PROFILE),debug)/examples/load --rate $(or $(RATE),2100) --seconds $(or $(SECONDS_LONG),300) --witnesses $(or $(WITNESSES),4)
	@target/$(or $(PROFILE),debug)/examples/load --rate $(or $(RATE21),550) --seconds $(or $(SECONDS_LONG),300) --witnesses 21 --in-one-process

memory-chain: setup ## A chain of a million accounts made by transactions: resident memory of its nodes, also under load, snapshot exported, imported and verified
	@$(CARGO) build --workspace --examples --bins
	@target/debug/examples/memory --accounts $(or $(ACCOUNTS),1000000)

clients-chain: setup ## ethers, viem, web3.py, cast, forge, hardhat, OpenZeppelin's contracts and netctl against a local chain; needs npm and python3
	@bash chain/rpc/clients/check.sh

conformance: setup ## Ethereum's own test suites: DIR = a checkout of ethereum/tests (GeneralStateTests, TrieTests), of ethereum/execution-apis (tests/*.io), or both
	@[ -d "$(DIR)" ] || { echo "conformance: which folder? try: make conformance DIR=../tests" >&2; exit 2; }
	@bash scripts/conformance.sh "$(DIR)"

contracts-check: ## Rebuild the system contracts, compare them with the committed bytecode, run their tests; needs npm
	@bash chain/contracts/check.sh

audit: ## Licences, advisories and sources of every dependency; needs cargo-deny
	@command -v cargo-deny >/dev/null || { echo "audit: cargo-deny is missing; try: cargo install cargo-deny --locked" >&2; exit 1; }
	$(CARGO) deny check

clean-lab: ## Remove what killed labs and failed lab tests left behind: namespaces, processes, logs
	@$(CARGO) run -q -p netflow-lab -- sweep

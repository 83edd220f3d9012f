# Every command anyone runs. `just` lists them.

export RUSTFLAGS := env("RUSTFLAGS", "")

default:
    @just --list

# Format all code.
fmt:
    cargo fmt --all

# What continuous integration checks before the tests.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- --deny warnings
    RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items

# All tests.
test:
    cargo test --workspace

# Every order in which threads can meet at a breaker, a budget or a limiter.
loom:
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test -p embedder-reliability --test loom --test loom_rate_limiter --release

# Licences, sources and bans of the dependencies; known defects where the advisory database can be fetched.
deny:
    cargo deny check bans licenses sources
    ./scripts/advisories

# Fuzzes one target: `just fuzz chunk 60`.
fuzz target seconds="60":
    ./fuzz/run {{target}} {{seconds}}

# Latency at 100,000 chunks, opening time and memory.
bench-search *args:
    cargo run --release -- bench search {{args}}

# What breaker, budget and limiter cost, beside their peers.
bench-reliability:
    cargo bench -p embedder-reliability

# The server: throughput beside the encoder alone, latencies, start, metrics.
bench-server *args:
    cargo run --release -- bench server {{args}}

# The server under more load than it can serve: goodput, recovery, fairness, priorities.
bench-overload *args:
    cargo run --release -- bench overload {{args}}

# What agents and people wait for: a saved file, another branch, the bridge; and what an idle server takes.
bench-agents *args:
    cargo run --release -- bench agents {{args}}

# Acknowledged documents survive 200 kills at random moments.
soak-kills:
    EMBEDDER_TEST_KILLS=200 cargo test --test it server::crash -- --nocapture

# The simulation with 10,000 seeds, about an hour on two cores; `just soak 100 20001` runs a hundred from 20,001 on.
# glibc keeps what is freed: every seed makes its text index anew, and a third of the time would go into page faults.
soak seeds="10000" first="1":
    MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_TOP_PAD_=67108864 \
        EMBEDDER_SIMULATION_SEEDS={{seeds}} EMBEDDER_SIMULATION_FIRST={{first}} cargo test --lib simulation::tests::whatever -- --nocapture

# Fuzzes the running server by its OpenAPI document.
schemathesis:
    ./scripts/schemathesis

# Time to the first answer, and of a run that has nothing to do.
bench-index *args:
    cargo run --release -- bench index {{args}}

# The encoder's kernels and whole passes.
bench-encoder:
    cargo bench -p embedder-inference

# How good the answers are on one of the sets of questions, `code` or `languages`; the corpora are fetched once.
eval set="code" *args:
    eval/{{set}}/corpora
    cargo run --release -- eval code --dataset eval/{{set}} {{args}}

# What each ranking rule is worth.
ablation:
    cargo build --release
    eval/ablation eval/code eval/languages

# The fixtures of the encoder's tests, from an independent float64 forward pass in numpy.
fixtures model:
    python3 -m pip install --quiet numpy tokenizers
    python3 eval/reference/bert_float64.py {{model}}

# The quickstart on this repository.
quickstart:
    cargo run --release -- quickstart

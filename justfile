# Everything a developer runs, by name. `just --list` shows it.

# What is there.
default:
    @just --list

# devpi, an identity provider and the gateway, up and running, with commands to try.
dev:
    cargo run --example quickstart -- --keep

# All tests, or those whose name contains FILTER.
test *FILTER:
    cargo test --locked {{FILTER}}

# Changed texts, one by one (needs cargo-insta).
review:
    cargo insta review

# Format and lints, as strict as CI.
lint:
    cargo fmt --all --check
    cargo fmt --manifest-path fuzz/Cargo.toml --check
    cargo clippy --locked --all-targets -- --deny warnings

# The documentation of the library, in the browser.
doc:
    cargo doc --locked --no-deps --open

# Licences, banned crates and sources (needs cargo-deny; no network), see deny.toml.
deny:
    cargo deny --offline check bans licenses sources

# Fuzz one target until it breaks (needs cargo-fuzz and a nightly toolchain): upload_form, upload_file_name, identity_token.
fuzz NAME:
    cargo +nightly fuzz run {{NAME}}

# What rules cost to load, to hold and to decide, with 100, 10,000 and 1,000,000 publishers; needs 4 GB of memory.
bench:
    cargo bench --locked --bench rules

# Does memory stay flat while MEGABYTES pass each way?
soak MEGABYTES="2048":
    cargo run --locked --release --example soak -- {{MEGABYTES}}

# Exactly what CI runs.
ci:
    .ci/run

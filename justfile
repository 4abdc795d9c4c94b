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

# Measurements.
bench *FILTER:
    cargo bench --locked {{FILTER}}

# Exactly what CI runs.
ci:
    .ci/run

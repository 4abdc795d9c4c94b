//! indexgate at work, on this machine, in a minute: a CI job publishes to an unmodified devpi with nothing but its
//! identity, and everybody else is told why not.
//!
//! ```sh
//! cargo run --release --example quickstart             # shows each step; exit 0 only if all of them hold
//! cargo run --release --example quickstart -- --keep   # leaves everything running, to try it by hand
//! ```
//!
//! devpi, uv, twine and pip are the real ones, from a virtual environment in the target directory. The identity
//! provider is a local one that speaks like GitHub Actions; the certificates are made on the spot.
#![expect(clippy::print_stdout, reason = "showing things is what it is for")]
#![expect(clippy::unwrap_used, reason = "the shared test support stops where it meets something unexpected")]

#[path = "../../tests/support/mod.rs"]
mod support;

mod keep;
mod show;
mod steps;

use std::process::ExitCode;

use steps::{PROJECT, RULES, World};
use support::clients::Workshop;
use support::devpi::Devpi;
use support::gateway::{self, Setup};
use support::issuer::Issuer;
use support::python::Python;
use support::tls::Authority;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let keep = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--keep"] => true,
        _ => return show::failure("the only argument is --keep: leave everything running at the end"),
    };
    show::panics_as_sentences();

    show::title("Preparing");
    let python = match Python::prepare() {
        Ok(python) => python,
        Err(problem) => return show::failure(&problem),
    };
    if let Err(problem) = gateway::build() {
        return show::failure(&problem);
    }
    let authority = Authority::new();
    let devpi = Devpi::start(&python);
    let index = devpi.make_index("prod");
    show::note(&format!("an unmodified devpi at {}, with the index alice/prod", devpi.url()));
    let issuer = Issuer::start(&authority);
    show::note(&format!("an identity provider at {} that speaks like GitHub Actions", issuer.url()));
    let started = Setup::new(&authority)
        .devpi(&devpi)
        .index("prod", "devpi", &index.path)
        .issuer("github", "github", &issuer)
        .also(RULES)
        .try_start();
    let gateway = match started {
        Ok(gateway) => gateway,
        Err(problem) => return show::failure(&problem),
    };
    show::note(&format!("indexgate in front of devpi at {}, with this indexgate.toml:", gateway.url()));
    show::file(&gateway.config_file());

    let workshop = Workshop::new(&python, &authority);
    let world = World { devpi: &devpi, index, issuer: &issuer, gateway: &gateway, workshop: &workshop };
    let dist = world.build(PROJECT);
    let own = world.own_repository();

    let mut told = show::Told::default();
    told.step("A CI job publishes a wheel and an sdist; its identity is its only credential", || {
        world.publish(&own, &dist)
    });
    told.step("pip installs it through the gateway", || world.install());
    told.step("A repository of the same name, of another owner, is refused", || {
        let look_alike = own.clone().repository(&format!("acme-evil/{PROJECT}"), "99001", "6666");
        world.refuse(&look_alike, &world.build_version(PROJECT, "1.2.1"), &[&format!("acme-evil/{PROJECT}")])
    });
    told.step("Another workflow of the right repository is refused", || {
        let nightly = own.clone().github_workflow("nightly.yml");
        world.refuse(&nightly, &world.build_version(PROJECT, "1.2.1"), &["nightly.yml", "release.yml"])
    });
    told.step("The right job, with a valid upload token, is refused another project", || {
        world.refuse(&own, &world.build("payroll"), &["payroll"])
    });
    told.step("twine with a devpi user and a password works as ever", || world.publish_with_password());
    told.step("The audit log says which commit of which repository made a file", || world.trace(&dist));

    if keep {
        keep::running(&world, &dist);
    }
    told.verdict()
}

//! What rules cost: reading a configuration, holding it, and deciding, with 100 to 1,000,000 publishers.
//!
//! `cargo bench --bench rules`. The decision is taken in interleaved rounds over all sizes, so that the ratio between
//! them means something on a noisy machine; memory is the growth of this process while the configuration is loaded.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench program ends when something is wrong, and prints"
)]

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use indexgate::clock::Timestamp;
use indexgate::config::load;
use indexgate::policy::{Asked, Rules, VerifiedClaims, decide};

const SIZES: [usize; 4] = [100, 10_000, 100_000, 1_000_000];
const ROUNDS: usize = 15;
const DECISIONS: u32 = 20_000;
const NOW: Timestamp = Timestamp(1_767_225_000);

const GENERAL: &str = r#"
public_url = "https://pypi.corp.example"
[listen]
address = "127.0.0.1:8080"
[[upstream]]
name = "devpi"
kind = "devpi"
url = "http://127.0.0.1:3141"
[[index]]
name = "prod"
upstream = "devpi"
upload_path = "/root/prod/"
[[issuer]]
name = "github"
preset = "github"
"#;

fn main() {
    println!("{:>10}  {:>9}  {:>16}  {:>14}", "publishers", "load", "memory/publisher", "of 100 in load");
    let mut all = Vec::new();
    let mut first_load = None;
    for size in SIZES {
        let (rules, took, bytes) = loaded(size);
        let first = *first_load.get_or_insert(took.as_secs_f64() / 100.0);
        let per_publisher = took.as_secs_f64() / size as f64 / first;
        println!("{size:>10}  {took:>9.3?}  {:>14} B  {per_publisher:>13.2}x", bytes / size);
        all.push(rules);
    }
    println!(
        "\n{:>10}  {:>12}  {:>12}  {:>12}  {:>7}",
        "publishers", "allowed", "refused", "stranger", "to 100"
    );
    let mut samples = vec![vec![[Duration::ZERO; 3]; 0]; SIZES.len()];
    for _ in 0..ROUNDS {
        for (n, rules) in all.iter().enumerate() {
            samples[n].push([
                decided(rules, SIZES[n], Who::Allowed),
                decided(rules, SIZES[n], Who::Refused),
                decided(rules, SIZES[n], Who::Stranger),
            ]);
        }
    }
    for (n, size) in SIZES.into_iter().enumerate() {
        let [allowed, refused, stranger] =
            [0, 1, 2].map(|kind| median(samples[n].iter().map(|round| round[kind])));
        let ratios = samples[n]
            .iter()
            .zip(&samples[0])
            .map(|(round, base)| round[0].as_secs_f64() / base[0].as_secs_f64());
        let mut ratios: Vec<f64> = ratios.collect();
        ratios.sort_by(f64::total_cmp);
        println!(
            "{size:>10}  {allowed:>12.0?}  {refused:>12.0?}  {stranger:>12.0?}  {:>6.2}x",
            ratios[ratios.len() / 2]
        );
    }
}

/// Reads a configuration with so many publishers; the time it takes, and what stays in memory.
fn loaded(size: usize) -> (Rules, Duration, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("indexgate.toml");
    write_configuration(&path, size);
    let before = resident();
    let begun = Instant::now();
    let settings = load(&path).unwrap();
    let took = begun.elapsed();
    let rules = Rules::new(settings.publishers, settings.restrictions);
    assert_eq!(rules.len(), size);
    (rules, took, resident().saturating_sub(before))
}

fn write_configuration(path: &Path, size: usize) {
    let mut text = GENERAL.to_owned();
    for n in 0..size {
        write!(
            text,
            "[[publisher]]\nname = \"publisher-{n}\"\nissuer = \"github\"\nindex = \"prod\"\nprojects = [\"project-{n}\"]\n\
             repository = \"acme/repository-{n}\"\nrepository_owner_id = 4455\nworkflow = \"release.yml\"\nenvironment = \"pypi\"\n\
             tag = \"v{{version}}\"\n"
        )
        .unwrap();
    }
    fs::write(path, text).unwrap();
}

#[derive(Clone, Copy)]
enum Who {
    Allowed,
    Refused,
    Stranger,
}

fn decided(rules: &Rules, size: usize, who: Who) -> Duration {
    let n = size / 2;
    let repository = match who {
        Who::Allowed | Who::Refused => format!("acme/repository-{n}"),
        Who::Stranger => "evil/repository".to_owned(),
    };
    let environment = if matches!(who, Who::Refused) { "staging" } else { "pypi" };
    let facts = [
        ("repository", repository.as_str()),
        ("repository_owner_id", "4455"),
        ("workflow", "release.yml"),
        ("environment", environment),
        ("tag", "v1.2.0"),
        ("event", "push"),
    ];
    let facts = facts.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
    let claims = VerifiedClaims::assertion("github".parse().unwrap(), facts, serde_json::Map::new());
    let asked = Asked {
        index: "prod".parse().unwrap(),
        project: format!("project-{n}").parse().unwrap(),
        version: "1.2.0".parse().unwrap(),
    };
    let allowed = decide(rules, &claims, Some(&asked), NOW).permit.is_some();
    assert_eq!(allowed, matches!(who, Who::Allowed));
    let begun = Instant::now();
    for _ in 0..DECISIONS {
        black_box(decide(rules, black_box(&claims), Some(&asked), NOW));
    }
    begun.elapsed() / DECISIONS
}

fn median(samples: impl Iterator<Item = Duration>) -> Duration {
    let mut samples: Vec<Duration> = samples.collect();
    samples.sort_unstable();
    samples[samples.len() / 2]
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() * 1024
}

//! How the quickstart speaks.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::support::clients::{Outcome, Run};

/// Keeps count of the steps.
#[derive(Default)]
pub struct Told {
    steps: usize,
    failed: Vec<usize>,
}

impl Told {
    /// Tells what is going to happen, lets it happen, and tells whether it did.
    pub fn step(&mut self, what: &str, happen: impl FnOnce() -> Result<String, String>) {
        self.steps += 1;
        title(&format!("{}. {what}", self.steps));
        let begun = Instant::now();
        match happen() {
            Ok(result) => println!("   ✓ {result}  ({:.1} s)", begun.elapsed().as_secs_f32()),
            Err(problem) => {
                self.failed.push(self.steps);
                println!("   ✗ {problem}");
            }
        }
    }

    /// The last word.
    pub fn verdict(self) -> ExitCode {
        if self.failed.is_empty() {
            println!("\nAll {} steps did what they say.", self.steps);
            return ExitCode::SUCCESS;
        }
        println!("\nSteps that did not do what they say: {:?}.", self.failed);
        ExitCode::FAILURE
    }
}

/// A new chapter.
pub fn title(text: &str) {
    println!("\n{text}");
    // Whoever reads along through a pipe wants to see it now.
    let _ = io::stdout().flush();
}

/// Something worth knowing.
pub fn note(text: &str) {
    println!("   {text}");
}

/// A file, as it stands there.
pub fn file(path: &Path) {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    quote(&text);
}

/// Runs a client, and shows what its user types and sees.
pub fn run(client: Run) -> Outcome {
    println!("   $ {}", client.shown());
    let outcome = client.run();
    let text = outcome.text();
    // uv asks the CI system to hide its upload token; so do we.
    let hidden =
        text.lines().map(|line| if line.starts_with("::add-mask::") { "::add-mask::***" } else { line });
    quote(&hidden.collect::<Vec<_>>().join("\n"));
    outcome
}

/// Somebody else's words.
pub fn quote(text: &str) {
    text.trim_end().lines().for_each(|line| println!("   │ {line}"));
}

/// What stops everything.
pub fn failure(problem: &str) -> ExitCode {
    println!("\n✗ {problem}");
    ExitCode::FAILURE
}

/// The shared support panics when a part does not start; a user wants the sentence and no more.
pub fn panics_as_sentences() {
    std::panic::set_hook(Box::new(|panic| {
        println!("\n✗ {}", sentence(panic.payload()));
    }));
}

fn sentence(payload: &dyn std::any::Any) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("something unexpected happened")
}

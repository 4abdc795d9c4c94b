//! A decision for the eyes of an administrator: publisher by publisher, condition by condition, nearest first.

use std::fmt::Write as _;

use super::{Decision, Finding, Trial};

/// Publishers that are shown with all their conditions; of the others only what they fail at.
const IN_FULL: usize = 3;

/// Publishers that are shown at all.
const SHOWN: usize = 20;

/// How a report stands out from what is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// For files, pipes and CI logs.
    Plain,
    /// For a terminal.
    Colour,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }

    /// What holds.
    pub fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// What does not.
    pub fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    /// What one looks for.
    pub fn strong(self, text: &str) -> String {
        self.with("1", text)
    }
}

impl Decision {
    /// All publishers in the trail. Ends in a line end unless there are none.
    pub fn report(&self, paint: Paint) -> String {
        // Beside publishers of the identity's own repository, those of others are of little interest.
        let proved = self.trail.iter().any(Trial::identity_proved);
        let mut text = String::new();
        let mut after_short = false;
        for (n, trial) in self.trail.iter().take(SHOWN).enumerate() {
            let in_full = n < IN_FULL && (trial.identity_proved() || !proved);
            let part = if in_full { trial.in_full(n, paint) } else { trial.in_short(paint) };
            let separate = n > 0 && !after_short;
            _ = write!(text, "{}{part}", if separate { "\n" } else { "" });
            after_short = !in_full;
        }
        let more = self.trail.len().saturating_sub(SHOWN);
        if more > 0 {
            _ = writeln!(text, "and {more} publishers that are further off");
        }
        text
    }
}

impl Trial {
    fn in_full(&self, place: usize, paint: Paint) -> String {
        let verdict = match (self.grants(), place) {
            (true, _) => paint.good("grants"),
            (false, 0) => paint.bad("nearest, grants nothing"),
            (false, _) => paint.bad("grants nothing"),
        };
        let mut text = format!("{}: {verdict}\n", self.title(paint));
        for finding in self.findings() {
            text.push_str(&finding.in_full(paint));
        }
        text
    }

    fn in_short(&self, paint: Paint) -> String {
        let misses: Vec<_> = self.misses().map(|miss| miss.key.into_owned()).collect();
        match misses.as_slice() {
            [] => format!("{}: {}\n", self.title(paint), paint.good("grants")),
            misses => format!("{}: fails at {}\n", self.title(paint), misses.join(", ")),
        }
    }

    fn title(&self, paint: Paint) -> String {
        format!("{} (index {})", paint.strong(&format!("publisher {}", self.publisher)), self.index)
    }
}

impl Finding {
    fn in_full(&self, paint: Paint) -> String {
        let claim = self.claim.as_ref().map(|claim| format!(" (claim {claim})")).unwrap_or_default();
        let got = self.got.as_ref().map_or_else(|| "nothing".to_owned(), |got| format!("`{got}`"));
        if self.met {
            // What must be absent is not worth more words.
            return format!("  {} {:<20} {got}\n", paint.good("\u{2713}"), self.key);
        }
        let mark = paint.bad("\u{2717}");
        let mut text = format!("  {mark} {:<20} got {got}{claim}, expected {}\n", self.key, self.expected);
        let remedy = &self.remedy;
        for (what, words) in [("why", &remedy.note), ("job", &remedy.job), ("rules", &remedy.rule)] {
            if let Some(words) = words {
                _ = writeln!(text, "{:>23}: {words}", what);
            }
        }
        text
    }
}

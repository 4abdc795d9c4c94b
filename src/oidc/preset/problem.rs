//! Why a good token says nothing that rules could use. The texts follow PyPI's, whose users search for them; they
//! stand in `valid token, but no corresponding publisher (…)`.

/// What is wrong with a claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimProblem {
    /// The claim is not there, or is `null`.
    #[error("Missing claim '{0}'")]
    Missing(&'static str),
    /// The claim is not what it must be.
    #[error("Check failed for claim '{claim}': {why}")]
    Unfit {
        /// Which one.
        claim: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The claim contradicts another one.
    #[error("Check failed for claim '{claim}': '{}' does not agree with {other} '{}'", shown(.got), shown(.stated))]
    Disagrees {
        /// Which one.
        claim: &'static str,
        /// What it says.
        got: String,
        /// The claim that says something else.
        other: &'static str,
        /// What that says.
        stated: String,
    },
    /// Neither of two claims says which commit it is about.
    #[error("The {0} and {1} claims are empty")]
    BothEmpty(&'static str, &'static str),
    /// The claim names a file elsewhere than in the project, or at another commit.
    #[error("The {claim} claim does not match, expecting {}, got '{}'", expectation(.expected), shown(.got))]
    Elsewhere {
        /// Which one.
        claim: &'static str,
        /// What it could have been.
        expected: Vec<String>,
        /// What it says.
        got: String,
    },
    /// The claim names no workflow file.
    #[error("Could not extract workflow filename from claim '{0}'")]
    NoFile(&'static str),
}

impl ClaimProblem {
    /// The claim at fault.
    pub const fn claim(&self) -> &'static str {
        match self {
            Self::Missing(claim)
            | Self::BothEmpty(claim, _)
            | Self::NoFile(claim)
            | Self::Unfit { claim, .. }
            | Self::Disagrees { claim, .. }
            | Self::Elsewhere { claim, .. } => claim,
        }
    }
}

fn expectation(expected: &[String]) -> String {
    let quoted: Vec<_> = expected.iter().map(|text| format!("'{}'", shown(text))).collect();
    format!("one of [{}]", quoted.join(", "))
}

/// A claim made fit for a message. Whole refs must be readable, so it may be longer than a name.
fn shown(text: &str) -> String {
    text.chars().take(300).flat_map(char::escape_default).collect()
}

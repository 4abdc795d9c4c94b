//! An explanation, for people or for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::subject::{Note, Subject};
use super::suggest;
use crate::config::Settings;
use crate::names::printable;
use crate::policy::{Decision, Paint, VerifiedClaims};

/// Publishers in JSON at most, nearest first.
const MOST: usize = 100;

/// All there is to say.
#[derive(Debug)]
pub struct Explanation {
    subject: Subject,
    decision: Option<Decision>,
    /// A publisher to add, if none names this identity.
    suggestion: Option<String>,
    config: String,
}

impl Explanation {
    pub fn new(settings: &Settings, subject: Subject, decision: Option<Decision>) -> Self {
        let unnamed = decision.as_ref().is_some_and(|decision| {
            !allows(decision, &subject) && !decision.trail.iter().any(|trial| trial.identity_proved())
        });
        let issuer = settings.issuers.iter().find(|issuer| Some(&issuer.name) == subject.issuer.as_ref());
        let only_index = match settings.indexes.as_slice() {
            [index] => Some(&index.index),
            _ => None,
        };
        let suggestion = issuer
            .zip(subject.identity.as_ref())
            .filter(|_| unnamed)
            .map(|(issuer, claims)| suggest::publisher(claims, issuer, subject.asked.as_ref(), only_index));
        Self { subject, decision, suggestion, config: settings.hash.clone() }
    }

    /// For people.
    pub fn text(&self, paint: Paint) -> String {
        let mut text = String::new();
        let subject = &self.subject;
        _ = writeln!(text, "{} {}", paint.strong("from    "), subject.source);
        if let Some(claims) = &subject.identity {
            _ = writeln!(text, "{} {}", paint.strong("identity"), identity(claims));
        }
        let asks = match &subject.asked {
            Some(asked) => format!("to upload {} {} to index {}", asked.project, asked.version, asked.index),
            None => "for an upload token".to_owned(),
        };
        _ = writeln!(text, "{} {asks}", paint.strong("asks    "));
        for note in &subject.notes {
            note.write(&mut text, paint);
        }
        let Some(decision) = &self.decision else { return text };
        _ = writeln!(text, "{} {}\n", paint.strong("answer  "), self.answer(decision, paint));
        text.push_str(&decision.report(paint));
        if let Some(suggestion) = &self.suggestion {
            _ = write!(text, "\nIf this identity is to be trusted, add to the rules:\n\n{suggestion}");
        }
        text
    }

    fn answer(&self, decision: &Decision, paint: Paint) -> String {
        let granting: Vec<_> = decision
            .trail
            .iter()
            .filter(|trial| trial.grants())
            .map(|trial| trial.publisher.as_str())
            .collect();
        match (self.refused_before(), granting.as_slice()) {
            (true, []) => paint.bad("refuse, before any rule is asked; and no publisher would grant it"),
            (true, by) => paint
                .bad(&format!("refuse, before any rule is asked; otherwise granted by {}", by.join(", "))),
            (false, []) => paint.bad("refuse: no publisher grants it"),
            (false, by) => paint.good(&format!("allow, by publisher {}", by.join(", "))),
        }
    }

    fn refused_before(&self) -> bool {
        self.subject.notes.iter().any(|note| note.refuses)
    }

    /// For programs.
    pub fn json(&self) -> String {
        let subject = &self.subject;
        let notes: Vec<Value> = subject
            .notes
            .iter()
            .map(|note| json!({"refuses": note.refuses, "what": note.what, "fix": note.fix}))
            .collect();
        let asked = subject.asked.as_ref().map(|asked| {
            json!({"index": asked.index, "project": asked.project, "version": asked.version.to_string()})
        });
        let allowed = self.decision.as_ref().is_some_and(|decision| allows(decision, subject));
        let explanation = json!({
            "allowed": allowed && !self.refused_before(),
            "config": self.config,
            "from": subject.source,
            "issuer": subject.issuer,
            "identity": subject.identity.as_ref().map(VerifiedClaims::facts),
            "claims": subject.identity.as_ref().map(VerifiedClaims::claims),
            "upload": asked,
            "notes": notes,
            "publishers": self.decision.as_ref().map(|decision| decision.trail.iter().take(MOST).collect::<Vec<_>>()),
            "suggestion": self.suggestion,
        });
        format!("{explanation:#}\n")
    }
}

impl Note {
    fn write(&self, text: &mut String, paint: Paint) {
        let mark = if self.refuses { paint.bad("\u{2717}") } else { "\u{b7}".to_owned() };
        _ = writeln!(text, "  {mark} {}", self.what);
        if let Some(fix) = &self.fix {
            _ = writeln!(text, "      fix: {fix}");
        }
    }
}

fn allows(decision: &Decision, subject: &Subject) -> bool {
    if subject.asked.is_some() { decision.permit.is_some() } else { !decision.grants.is_empty() }
}

/// Who it is, in the words of the rules.
fn identity(claims: &VerifiedClaims) -> String {
    let facts = claims.facts().iter().map(|(key, value)| format!("{key} `{}`", printable(value)));
    let said =
        claims.claims().iter().map(|(name, value)| format!("{name} `{}`", printable(&value.to_string())));
    let said: Vec<String> = if claims.facts().is_empty() { said.collect() } else { facts.collect() };
    format!("of issuer {}: {}", claims.issuer(), said.join(", "))
}

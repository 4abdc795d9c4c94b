//! Whose identity is explained, and what it asks for.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use serde_json::{Map, Value};

use super::{ExplainArguments, ExplainError, token};
use crate::clock::Timestamp;
use crate::config::{IssuerSettings, Settings};
use crate::names::IssuerName;
use crate::observe::audit::{KeptDecision, Outcome};
use crate::policy::{Asked, VerifiedClaims, listed};
use crate::store::{Location, kept_decision};

/// What there is to explain.
#[derive(Debug)]
pub struct Subject {
    /// Where it comes from.
    pub source: String,
    /// Who vouches for it.
    pub issuer: Option<IssuerName>,
    /// The identity, if a rule would get to see it.
    pub identity: Option<VerifiedClaims>,
    /// The upload that is asked about.
    pub asked: Option<Asked>,
    /// What is to be said before any rule.
    pub notes: Vec<Note>,
}

/// Something about the token itself.
#[derive(Debug)]
pub struct Note {
    /// Whether it keeps the token from being believed.
    pub refuses: bool,
    /// What it is.
    pub what: String,
    /// What to do about it.
    pub fix: Option<String>,
}

impl Note {
    pub fn refusing(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { refuses: true, what: what.into(), fix: Some(fix.into()) }
    }

    pub fn saying(what: impl Into<String>) -> Self {
        Self { refuses: false, what: what.into(), fix: None }
    }
}

impl Subject {
    /// Reads what the arguments name.
    pub fn find(
        arguments: &ExplainArguments,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Self, ExplainError> {
        let asked = asked(arguments, settings)?;
        let issuer = arguments.issuer.as_ref().map(|name| named(settings, name)).transpose()?;
        let identity = &arguments.identity;
        let mut subject = match (&identity.token, &identity.claims, &identity.reference) {
            (Some(path), ..) => token::subject(&read(path)?, settings, issuer, now),
            (None, Some(path), _) => of_claims(path, settings, issuer)?,
            (None, None, Some(reference)) => of_reference(reference, settings)?,
            (None, None, None) => unreachable!("the arguments require one of them"),
        };
        subject.asked = asked.or(subject.asked);
        Ok(subject)
    }

    /// What a token of this issuer with these claims would be.
    pub fn supposed(
        source: &str,
        claims: &Map<String, Value>,
        issuer: &IssuerSettings,
        settings: &Settings,
    ) -> Self {
        let mut notes = Vec::new();
        let keep = settings.kept_claims(issuer);
        let identity = issuer.preset.suppose(issuer.name.clone(), &issuer.url, claims, &keep);
        let identity = identity.map_err(|problem| {
            let fix = format!(
                "tokens of a {} issuer say otherwise: check that `{}` is what it should be, and that the preset is the right one",
                issuer.preset.name,
                problem.claim()
            );
            notes.push(Note::refusing(problem.to_string(), fix));
        });
        Self {
            source: source.to_owned(),
            issuer: Some(issuer.name.clone()),
            identity: identity.ok(),
            asked: None,
            notes,
        }
    }
}

fn asked(arguments: &ExplainArguments, settings: &Settings) -> Result<Option<Asked>, ExplainError> {
    let (Some(index), Some(project), Some(version)) =
        (&arguments.index, &arguments.project, &arguments.version)
    else {
        return Ok(None);
    };
    if !settings.indexes.iter().any(|route| route.index.as_str() == index) {
        let known = listed(settings.indexes.iter().map(|route| route.index.to_string()));
        return Err(ExplainError::NoIndex { name: index.clone(), known });
    }
    let version = version.parse().map_err(|_| ExplainError::Version(version.clone()))?;
    Ok(Some(Asked { index: index.parse()?, project: project.parse()?, version }))
}

fn named<'s>(settings: &'s Settings, name: &str) -> Result<&'s IssuerSettings, ExplainError> {
    let found = settings.issuers.iter().find(|issuer| issuer.name.as_str() == name);
    found.ok_or_else(|| ExplainError::NoIssuer { name: name.to_owned(), known: issuers(settings) })
}

fn issuers(settings: &Settings) -> String {
    listed(settings.issuers.iter().map(|issuer| issuer.name.to_string()))
}

fn read(path: &Path) -> Result<String, ExplainError> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    text.map_err(|source| ExplainError::File { path: path.to_owned(), source })
}

fn of_claims(
    path: &Path,
    settings: &Settings,
    issuer: Option<&IssuerSettings>,
) -> Result<Subject, ExplainError> {
    let Ok(Value::Object(claims)) = crate::json::parse(read(path)?.as_bytes()) else {
        return Err(ExplainError::Claims(path.to_owned()));
    };
    let stated = claims.get("iss").and_then(Value::as_str);
    let by_url = || settings.issuers.iter().find(|issuer| Some(issuer.url.as_str()) == stated);
    let issuer = match (issuer.or_else(by_url), settings.issuers.as_slice()) {
        (Some(issuer), _) => issuer,
        (None, [only]) => only,
        (None, _) => return Err(ExplainError::WhichIssuer(issuers(settings))),
    };
    let mut subject =
        Subject::supposed("a file with claims, which proves nothing", &claims, issuer, settings);
    if let Some(stated) = stated.filter(|stated| *stated != issuer.url) {
        subject.notes.push(token::other_issuer(stated, issuer));
    }
    Ok(subject)
}

/// A decision that a gateway made, before now and perhaps by other rules.
fn of_reference(reference: &str, settings: &Settings) -> Result<Subject, ExplainError> {
    let Location::File(path) = &settings.store else { return Err(ExplainError::MemoryStore) };
    let body = kept_decision(path, reference)?.ok_or_else(|| ExplainError::NotKept(reference.to_owned()))?;
    let kept: KeptDecision =
        serde_json::from_str(&body).map_err(|_| ExplainError::OtherVersion(reference.to_owned()))?;
    let asked =
        kept.index.zip(kept.project).zip(kept.version.as_ref().and_then(|version| version.parse().ok()));
    let asked = asked.map(|((index, project), version)| Asked { index, project, version });
    let outcome = match kept.decision {
        Outcome::Allow => "allowed",
        Outcome::Refuse => "refused",
        Outcome::Fail => "allowed, but the index did not take it",
        Outcome::Relay => "passed on",
    };
    let event = serde_json::to_value(kept.event).ok().and_then(|event| event.as_str().map(str::to_owned));
    let mut notes = Vec::new();
    if let Some(reason) = &kept.reason {
        notes.push(Note::saying(format!("the reason at that time: {reason}")));
        notes.extend(token::advice_for_reason(reason, &settings.audience).map(Note::saying));
    }
    if kept.config != settings.hash {
        notes.push(Note::saying(format!(
            "configuration {} decided then; the present one is {}, and what follows is what it says now",
            kept.config, settings.hash
        )));
    }
    let identity =
        kept.issuer.clone().map(|issuer| VerifiedClaims::recalled(issuer, kept.facts, kept.claims));
    if identity.is_none() {
        notes.push(Note::saying("no rule was asked: there was no identity that could be believed"));
    }
    Ok(Subject {
        source: format!("{} of {}, {outcome} (reference {reference})", event.unwrap_or_default(), kept.time),
        issuer: kept.issuer,
        identity,
        asked,
        notes,
    })
}

//! What is to be said of an identity token before any rule is asked.

use super::subject::{Note, Subject};
use crate::clock::Timestamp;
use crate::config::{IssuerSettings, Settings};
use crate::names::printable;
use crate::oidc::{Flaw, KeySource, TokenError, Unverified, diagnose, verify};
use crate::policy::listed;

/// Reads a token. Nothing is fetched: only keys from a file can check its signature.
pub fn subject(text: &str, settings: &Settings, named: Option<&IssuerSettings>, now: Timestamp) -> Subject {
    let nobody = |note| Subject {
        source: "a token".to_owned(),
        issuer: None,
        identity: None,
        asked: None,
        notes: vec![note],
    };
    let token = match Unverified::read(text.trim()) {
        Ok(token) => token,
        Err(error) => return nobody(flaw(&error, &settings.audience)),
    };
    let by_url = || settings.issuers.iter().find(|issuer| issuer.url == token.issuer());
    let Some(issuer) = named.or_else(by_url) else { return nobody(unknown_issuer(token.issuer(), settings)) };

    let expected = issuer.expected(&settings.audience);
    let (source, verdict) = match &issuer.keys.source {
        KeySource::Static(keys) => {
            ("a token, checked with the keys in the file", verify(&token, keys, &expected, now).map(|_| ()))
        }
        KeySource::Discovery(_) => {
            ("a token whose signature was NOT checked: it proves nothing", diagnose(&token, &expected, now))
        }
    };
    let mut subject = Subject::supposed(source, token.unverified_claims(), issuer, settings);
    match verdict {
        Ok(()) => {}
        Err(TokenError::Invalid(Flaw::Issuer)) => {
            subject.notes.insert(0, other_issuer(token.issuer(), issuer));
        }
        Err(error) => subject.notes.insert(0, flaw(&error, &settings.audience)),
    }
    subject
}

/// Claims of somebody else than the issuer they are read for.
pub fn other_issuer(stated: &str, issuer: &IssuerSettings) -> Note {
    Note::refusing(
        format!("`iss` is `{}`, but issuer `{}` is `{}`", printable(stated), issuer.name, issuer.url),
        "correct `url` in the [[issuer]] (every character counts, a slash at the end, too), or name another --issuer",
    )
}

fn unknown_issuer(stated: &str, settings: &Settings) -> Note {
    let stated = printable(stated);
    let same = |issuer: &&IssuerSettings| {
        issuer.url.trim_end_matches('/').eq_ignore_ascii_case(stated.trim_end_matches('/'))
    };
    let what = format!("`iss` is `{stated}`, and no [[issuer]] has this URL");
    match settings.issuers.iter().find(same) {
        Some(near) => Note::refusing(
            what,
            format!("write url = \"{stated}\" in [[issuer]] `{}`; `{}` is another URL", near.name, near.url),
        ),
        None => {
            let known = listed(settings.issuers.iter().map(|issuer| issuer.url.clone()));
            let known = if known.is_empty() { "none".to_owned() } else { known };
            Note::refusing(
                what,
                format!("add [[issuer]] with url = \"{stated}\" if it is trusted; there is {known}"),
            )
        }
    }
}

fn flaw(error: &TokenError, audience: &str) -> Note {
    Note { refuses: true, what: error.to_string(), fix: advice(error, audience) }
}

/// What to change so that the next token is believed.
fn advice(error: &TokenError, audience: &str) -> Option<String> {
    let advice = match error {
        TokenError::Malformed(_) => {
            "send the identity token alone: three parts with dots between them. In GitHub the job needs `permissions: id-token: write`, in GitLab `id_tokens:`".to_owned()
        }
        TokenError::UnknownKey(_) | TokenError::BadSignature(_) => {
            "the `jwks_file` is older than the token, or the token is of another issuer: get the issuer's present keys".to_owned()
        }
        TokenError::Invalid(flaw) => match flaw {
            Flaw::Audience(_) => for_audience(audience),
            Flaw::Expired(_) => "ask for a new token right before the exchange".to_owned(),
            Flaw::Future(..) => "set the clock of this machine, or of the issuer, by NTP".to_owned(),
            Flaw::Lifetime(_) => "raise `max_lifetime` in the [[issuer]], or let the job ask for a shorter life".to_owned(),
            Flaw::Algorithm(_) => "list what the issuer signs with in `algorithms` of the [[issuer]]".to_owned(),
            Flaw::Issuer | Flaw::Repeated(_) | Flaw::HeaderMember(_) | Flaw::Type | Flaw::KeyId | Flaw::KeyUse(_)
            | Flaw::Missing(_) | Flaw::Form(..) => return None,
        },
    };
    Some(advice)
}

fn for_audience(audience: &str) -> String {
    format!(
        "the job must ask for a token with audience `{audience}` (GitLab: `id_tokens: … aud: {audience}`; GET /_/oidc/audience says it)"
    )
}

/// The same, for a reason that was kept as a text.
pub fn advice_for_reason(reason: &str, audience: &str) -> Option<String> {
    let advice = if reason.contains("the expected audience") {
        for_audience(audience)
    } else if reason.contains("expired ") && reason.ends_with("s ago") {
        advice(&TokenError::Invalid(Flaw::Expired(0)), audience)?
    } else if reason.contains(" in the future") {
        advice(&TokenError::Invalid(Flaw::Future("iat", 0)), audience)?
    } else if reason.contains("unknown trusted publishing issuer") {
        "the job's identity provider has no [[issuer]] with exactly its URL".to_owned()
    } else {
        return None;
    };
    Some(format!("what to do: {advice}"))
}

//! `indexgate check --online`: what the configuration names is there, and answers as it should.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::clock::{Clock, Timestamp};
use crate::config::{IssuerSettings, Settings};
use crate::oidc::{KeySource, check_issuer};
use crate::proxy::{ProbedCredential, Upstream, UpstreamSettings};

/// How long one server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far a clock may be from ours: the leeway with which tokens are accepted.
const LEEWAY: i64 = 30;

/// One thing that was tried.
#[derive(Debug)]
pub(super) struct Tried {
    /// Whether it is as it should be.
    pub good: bool,
    /// What was found.
    pub what: String,
}

impl Tried {
    fn good(what: impl Into<String>) -> Self {
        Self { good: true, what: what.into() }
    }

    fn bad(what: impl Into<String>) -> Self {
        Self { good: false, what: what.into() }
    }
}

/// Tries everything, one after the other.
pub(super) fn try_all(settings: &Settings, clock: &Clock) -> std::io::Result<Vec<Tried>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, async {
        let mut tried = Vec::new();
        for upstream in &settings.upstreams {
            let paths = settings.indexes.iter().filter(|index| index.upstream == upstream.name);
            let path = paths
                .map(|index| index.upload_path.clone())
                .next()
                .unwrap_or_else(|| upstream.prefix.clone());
            let probing = Upstream::new(upstream.clone(), clock.clone());
            tried.extend(try_upstream(&probing, upstream, &path, clock).await);
        }
        for issuer in &settings.issuers {
            tried.extend(try_issuer(issuer, clock).await);
        }
        tried
    }))
}

async fn try_upstream(
    probing: &Upstream,
    settings: &UpstreamSettings,
    path: &str,
    clock: &Clock,
) -> Vec<Tried> {
    let name = format!("upstream `{}`", settings.name);
    let probe = match timeout(PATIENCE, probing.probe(path)).await {
        Ok(Ok(probe)) => probe,
        Ok(Err(error)) => return vec![Tried::bad(format!("{name}: {error}"))],
        Err(_) => return vec![Tried::bad(format!("{name}: no answer within {} s", PATIENCE.as_secs()))],
    };
    let status = probe.status.as_u16();
    let answers = if probe.status.is_server_error() {
        Tried::bad(format!("{name}: GET {path} is answered with HTTP {status}"))
    } else if status == 404 {
        Tried::bad(format!("{name}: there is nothing at {path} (HTTP 404); check `url` and `upload_path`"))
    } else {
        Tried::good(format!("{name}: answers (GET {path}: HTTP {status})"))
    };
    let credential = match probe.credential {
        ProbedCredential::Nothing => Tried::good(format!("{name}: has no credential to try")),
        ProbedCredential::LoggedIn => Tried::good(format!("{name}: accepts the credential (logged in)")),
        ProbedCredential::NotRefused => {
            Tried::good(format!("{name}: does not object to the credential; only an upload would prove it"))
        }
        ProbedCredential::Refused => Tried::bad(format!("{name}: refuses the credential (HTTP {status})")),
    };
    [answers, credential].into_iter().chain(skew(&name, probe.date, clock)).collect()
}

async fn try_issuer(issuer: &IssuerSettings, clock: &Clock) -> Vec<Tried> {
    let name = format!("issuer `{}`", issuer.name);
    let KeySource::Discovery(discovery) = &issuer.keys.source else {
        return vec![Tried::good(format!("{name}: has its keys in a file"))];
    };
    match check_issuer(discovery).await {
        Ok(answer) => {
            let count = answer.keys.len();
            let found = format!("{name}: publishes {count} usable key{}", if count == 1 { "" } else { "s" });
            std::iter::once(Tried::good(found)).chain(skew(&name, answer.date, clock)).collect()
        }
        Err(error) => vec![Tried::bad(format!("{name}: {error}"))],
    }
}

/// A clock that is off makes good tokens look expired, or not yet valid.
fn skew(name: &str, date: Option<Timestamp>, clock: &Clock) -> Option<Tried> {
    let ahead = date?.seconds_since(clock.now());
    (ahead.abs() > LEEWAY).then(|| {
        let direction = if ahead > 0 { "ahead of" } else { "behind" };
        Tried::bad(format!("{name}: its clock is {} s {direction} ours; set both by NTP", ahead.abs()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told_with_its_direction() {
        let clock = Clock::still(Timestamp(1_000));
        let told = |date| skew("x", Some(Timestamp(date)), &clock).map(|tried| tried.what);
        assert_eq!((told(1_030), told(970)), (None, None));
        assert!(told(1_031).unwrap().contains("31 s ahead of ours"));
        assert!(told(900).unwrap().contains("100 s behind ours"));
        assert!(skew("x", None, &clock).is_none());
    }
}

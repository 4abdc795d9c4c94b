//! `[[issuer]]`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::implied::{self, Implied};
use super::reader::{Table, Value};
use super::secrets;
use super::upstream::{NAME_FIX, roots, system_roots};
use crate::names::IssuerName;
use crate::oidc::{
    Algorithm, Discovery, Expected, FixedAudience, HttpsUrl, IssuerKeys, KeySet, KeySource, Preset,
};

/// One `[[issuer]]` as it was written; its keys are not fetched yet.
#[derive(Debug)]
pub struct IssuerSettings {
    /// Its name.
    pub name: IssuerName,
    /// The `iss` of its tokens.
    pub url: String,
    /// What it calls things.
    pub preset: &'static Preset,
    /// The `aud` of its tokens, if that is not the gateway's own.
    pub audience: Option<String>,
    /// What it signs with.
    pub algorithms: Vec<Algorithm>,
    /// The longest life of its tokens.
    pub max_lifetime: Duration,
    /// Generic issuers: the claims that every publisher must pin.
    pub identity_claims: BTreeSet<String>,
    /// Where its keys come from.
    pub keys: IssuerKeys,
    /// What holds for every publisher of the issuer.
    pub implied: Implied,
}

impl IssuerSettings {
    /// What its tokens must say.
    pub fn expected<'a>(&'a self, audience: &'a str) -> Expected<'a> {
        Expected {
            issuer_url: &self.url,
            audience: self.audience.as_deref().unwrap_or(audience),
            audience_list_allowed: self.preset.audience_list,
            algorithms: &self.algorithms,
            max_lifetime: self.max_lifetime,
        }
    }
}

/// Reads one `[[issuer]]`.
pub fn issuer(table: &Table<'_>) -> Option<IssuerSettings> {
    let name: Option<IssuerName> =
        table.require("name", "name = \"github\"").and_then(|name| name.parsed(NAME_FIX));
    let preset = table.require("preset", "preset = \"github\"").and_then(|preset| preset_of(&preset));
    let url = match (table.get("url"), preset.and_then(|preset| preset.public_issuer)) {
        (Some(url), _) => issuer_url(&url, preset),
        (None, Some(public)) => public.parse().ok(),
        (None, None) if preset.is_none() => None,
        (None, None) => {
            table.problem("`url` is missing", "add url = \"https://…\", exactly as the tokens spell `iss`");
            None
        }
    };
    let algorithms =
        table.get("algorithms").map(|list| list.items().iter().filter_map(algorithm).collect::<Vec<_>>());
    let lifetime = table.get("max_lifetime");
    let lifetime =
        lifetime.map(|value| value.duration(Duration::from_secs(60), Duration::from_secs(7 * 24 * 3600)));
    let identity_claims = table.get("identity_claims");
    let identity: BTreeSet<String> = identity_claims
        .map(|list| list.items().iter().filter_map(Value::text).map(str::to_owned).collect())
        .unwrap_or_default();
    check_identity_claims(table, preset, identity_claims, &identity);
    let audience = audience(table, url.as_ref(), preset);
    let source = keys(table, url.as_ref(), preset);
    let require = table.get("require");
    let (name, preset) = (name?, preset?);
    let require = require.map(|value| implied::require(&value, preset)).unwrap_or_default();
    Some(IssuerSettings {
        url: url?.as_str().to_owned(),
        audience,
        algorithms: algorithms.unwrap_or_else(|| preset.algorithms.to_vec()),
        max_lifetime: lifetime.unwrap_or(Some(preset.max_lifetime))?,
        identity_claims: identity,
        keys: IssuerKeys { issuer: name.clone(), source: source? },
        implied: Implied::new(preset, &require),
        name,
        preset,
    })
}

fn preset_of(value: &Value<'_>) -> Option<&'static Preset> {
    let text = value.text()?;
    let preset = Preset::by_name(text);
    if preset.is_none() {
        let all: Vec<_> = Preset::ALL.iter().map(|preset| format!("\"{}\"", preset.name)).collect();
        value.problem(format!("there is no preset `{text}`"), format!("write one of {}", all.join(", ")));
    }
    preset
}

/// The URL, if an issuer of this kind can have it. A wrong one would only show in tokens that are refused.
fn issuer_url(value: &Value<'_>, preset: Option<&Preset>) -> Option<HttpsUrl> {
    let url: HttpsUrl = value.parsed("write the issuer's https URL exactly as its tokens spell it")?;
    if let Some(preset) = preset.filter(|preset| !preset.fits_issuer(url.as_str())) {
        let forms: Vec<_> = preset.issuer_forms.iter().map(|form| format!("https://{form}")).collect();
        value.problem(
            format!("no {} issuer has the URL `{url}`", preset.name),
            format!(
                "write `iss` as it stands in a token, without a slash at the end: {}",
                forms.join(" or ")
            ),
        );
        return None;
    }
    Some(url)
}

/// The audience of tokens that are not made for this gateway alone. Whoever else is given such a token can use it
/// here, so the configuration must say that this is accepted.
fn audience(table: &Table<'_>, url: Option<&HttpsUrl>, preset: Option<&Preset>) -> Option<String> {
    let preset = preset?;
    let fixed = preset.fixed_audience(url.map_or("", HttpsUrl::as_str));
    let accepted = table.get("fixed_audience").map(|value| value.boolean());
    let audience = table.get("audience");
    match (accepted, audience, fixed) {
        (Some(None), ..) => None,
        (Some(Some(true)), Some(audience), _) => audience.text().map(str::to_owned),
        (Some(Some(true)), None, Some(fixed)) => Some(fixed),
        (Some(Some(true)), None, None) => {
            table.problem(
                "`fixed_audience` is true, but the audience does not stand here",
                "add audience = \"…\" as the tokens spell `aud`, or remove `fixed_audience`",
            );
            None
        }
        (_, Some(audience), _) => {
            audience.problem(
                "such tokens are not made for this gateway: whoever else is given one can use it here",
                "remove the key, so that jobs ask for the gateway's audience; or add fixed_audience = true if you \
                 accept that",
            );
            None
        }
        (Some(Some(false)), None, _) if preset.fixed_audience == Some(FixedAudience::IssuerUrl) => None,
        (_, None, Some(fixed)) => {
            table.problem(
                format!(
                    "jobs cannot choose the audience of these tokens; it is `{fixed}` for everybody, so whoever \
                     else is given one can use it here"
                ),
                "add fixed_audience = true if you accept that",
            );
            None
        }
        (_, None, None) => None,
    }
}

fn algorithm(value: &Value<'_>) -> Option<Algorithm> {
    value.parsed("leave the key out for the preset's own")
}

/// Issuer, subject and audience alone say too little: a generic issuer must name what tells its identities apart.
fn check_identity_claims(
    table: &Table<'_>,
    preset: Option<&Preset>,
    value: Option<Value<'_>>,
    claims: &BTreeSet<String>,
) {
    const TOO_LITTLE: [&str; 7] = ["iss", "aud", "sub", "exp", "iat", "nbf", "jti"];
    let Some(preset) = preset else { return };
    match (preset.name, value) {
        ("generic", None) => table.problem(
            "a generic issuer needs `identity_claims`",
            "name the claims that every publisher must pin, as in identity_claims = [\"build_job\"]",
        ),
        ("generic", Some(value)) if claims.iter().all(|claim| TOO_LITTLE.contains(&claim.as_str())) => value
            .problem(
                "these claims do not tell one job from another",
                "name at least one claim beside iss, aud, sub and the times",
            ),
        ("generic", Some(_)) | (_, None) => {}
        (_, Some(value)) => {
            value.problem(
                "only a generic issuer has `identity_claims`",
                "remove the key; the preset knows what identifies",
            );
        }
    }
}

fn keys(table: &Table<'_>, url: Option<&HttpsUrl>, preset: Option<&Preset>) -> Option<KeySource> {
    let ca_file = table.get("ca_file");
    let hosts = table.get("jwks_host");
    if let Some(file) = table.get("jwks_file") {
        if let Some(needless) = ca_file.or(hosts) {
            needless.problem("this has no effect beside `jwks_file`", "remove one of them");
        }
        return static_keys(&file);
    }
    let roots = match ca_file {
        Some(file) => roots(&file),
        None => system_roots(table),
    };
    let mut jwks_hosts: Vec<String> =
        preset.into_iter().flat_map(|preset| preset.jwks_hosts).map(|host| (*host).to_owned()).collect();
    jwks_hosts.extend(hosts.and_then(|host| host.text()).map(str::to_owned));
    Some(KeySource::Discovery(Discovery { issuer: url?.clone(), roots: roots?, jwks_hosts }))
}

fn static_keys(file: &Value<'_>) -> Option<KeySource> {
    let keys = KeySet::parse(&secrets::file(file)?);
    let keys = keys
        .map_err(|error| file.problem(error.to_string(), "name a file with the issuer's JSON Web Key Set"));
    keys.ok().map(|keys| KeySource::Static(Arc::new(keys)))
}

//! `[[upstream]]` and `[[index]]`.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};

use super::named::Named;
use super::reader::{Table, Value};
use super::secrets;
use crate::names::{IndexName, UpstreamName};
use crate::policy::Passwords;
use crate::proxy::{
    DevpiLogin, HostHeader, IndexRoute, Target, UpstreamCredential, UpstreamKind, UpstreamRoute,
    UpstreamSettings,
};
use crate::tls::TlsRoots;

/// Reads one `[[upstream]]`.
pub fn upstream(table: &Table<'_>, public_url: &str, timeout: Duration) -> Option<UpstreamSettings> {
    let name: Option<UpstreamName> =
        table.require("name", "name = \"devpi\"").and_then(|name| name.parsed(NAME_FIX));
    let kind = table.require("kind", "kind = \"devpi\"").and_then(|kind| kind_of(&kind));
    let url = table.require("url", "url = \"http://127.0.0.1:3141\"").and_then(|url| base_url(&url));
    let roots = table.get("ca_file").map(|file| roots(&file));
    let prefix = table.get("path").map_or_else(|| Some("/".to_owned()), |path| public_path(&path));
    let host = table.get("host").map_or(Some(HostHeader::Preserve), |host| {
        host.choice(&[("preserve", HostHeader::Preserve), ("upstream", HostHeader::Upstream)])
    });
    let credential =
        table.get("credential").map_or(Some(UpstreamCredential::Nothing), |value| credential(&value, kind));
    let Base { https, host: address, port, path, authority } = url?;
    let tls = match (https, roots) {
        (false, _) => None,
        (true, Some(roots)) => Some(roots?),
        (true, None) => Some(system_roots(table)?),
    };
    let prefix = prefix?;
    Some(UpstreamSettings {
        name: name?,
        kind: kind?,
        target: Target { host: address, port, tls },
        base_path: path,
        public_base: format!("{public_url}{}", prefix.trim_end_matches('/')),
        prefix,
        host: host?,
        authority,
        credential: credential?,
        timeout,
    })
}

/// The public prefix of an upstream.
pub fn route(settings: &UpstreamSettings) -> UpstreamRoute {
    UpstreamRoute { upstream: settings.name.clone(), prefix: settings.prefix.clone() }
}

/// Reads one `[[index]]`.
pub fn index(table: &Table<'_>, upstreams: &Named<Arc<UpstreamSettings>>) -> Option<IndexRoute> {
    let name: Option<IndexName> =
        table.require("name", "name = \"prod\"").and_then(|name| name.parsed(NAME_FIX));
    let upstream =
        table.require("upstream", "upstream = \"devpi\"").and_then(|name| upstreams.find(&name, "upstream"));
    let path_value = table.require("upload_path", "upload_path = \"/root/prod/\"");
    let path = path_value.and_then(|path| public_path(&path));
    let passwords = table.get("passwords").map_or(Some(Passwords::Allow), |value| value.choice(&PASSWORDS));
    let any_project = table.get("any_project").map_or(Some(false), |value| value.boolean());
    let (upstream, path) = (upstream?, path?);
    if !path.starts_with(&upstream.prefix) {
        path_value?.problem(
            format!("`{path}` is not under the path of upstream `{}`", upstream.name),
            format!("begin it with {}", upstream.prefix),
        );
        return None;
    }
    let nearer = |other: &&Arc<UpstreamSettings>| {
        other.prefix.len() > upstream.prefix.len() && path.starts_with(&other.prefix)
    };
    if let Some(other) = upstreams.items().find(nearer) {
        path_value?.problem(
            format!("`{path}` is under the path of upstream `{}`, which answers there", other.name),
            "name that upstream, or correct the path",
        );
        return None;
    }
    Some(IndexRoute {
        index: name?,
        upstream: upstream.name.clone(),
        upload_path: path,
        any_project: any_project?,
        passwords: passwords?,
    })
}

/// Reports each server that answers under a second public prefix while one of its indexes restricts passwords: what is
/// refused under the one would pass under the other.
pub fn check_one_way_in(
    tables: &[Table<'_>],
    upstreams: &Named<Arc<UpstreamSettings>>,
    restricts: impl Fn(&UpstreamName) -> bool,
) {
    let mut before: Vec<&UpstreamSettings> = Vec::new();
    for upstream in upstreams.items() {
        let twin = before.iter().find(|other| is_one_server(other, upstream));
        let table = tables.iter().find(|table| table.name() == Some(upstream.name.as_str()));
        if let (Some(twin), Some(table)) = (twin, table)
            && (restricts(&twin.name) || restricts(&upstream.name))
        {
            table.problem(
                format!(
                    "it leads to the same server as upstream `{}`, where passwords are restricted",
                    twin.name
                ),
                "serve it under one path only: elsewhere its restricted index would still take passwords",
            );
        }
        before.push(upstream);
    }
}

/// Whether what is behind one can be reached through the other.
fn is_one_server(a: &UpstreamSettings, b: &UpstreamSettings) -> bool {
    let within = |inner: &str, outer: &str| format!("{inner}/").starts_with(&format!("{outer}/"));
    a.target.host.eq_ignore_ascii_case(&b.target.host)
        && a.target.port == b.target.port
        && (within(&a.base_path, &b.base_path) || within(&b.base_path, &a.base_path))
}

/// The words for what classic credentials may do.
pub(super) const PASSWORDS: [(&str, Passwords); 3] =
    [("allow", Passwords::Allow), ("warn", Passwords::Warn), ("refuse", Passwords::Refuse)];

pub(super) const NAME_FIX: &str = "use letters, digits, `-`, `_` and `.`";

/// Kinds of the contract that this version does not have yet.
const KINDS_TO_COME: [&str; 5] = ["pulp", "nexus", "artifactory", "gitea", "gitlab"];

fn kind_of(value: &Value<'_>) -> Option<UpstreamKind> {
    let text = value.text()?;
    if KINDS_TO_COME.contains(&text) {
        value.problem(
            format!("kind `{text}` is not supported by this version of indexgate"),
            "write \"generic\" if plain uploads are enough",
        );
        return None;
    }
    value.choice(&[
        ("devpi", UpstreamKind::Devpi),
        ("pypiserver", UpstreamKind::Pypiserver),
        ("generic", UpstreamKind::Generic),
    ])
}

struct Base {
    https: bool,
    host: String,
    port: u16,
    path: String,
    authority: HeaderValue,
}

fn base_url(value: &Value<'_>) -> Option<Base> {
    let text = value.text()?;
    let base = parse_url(text);
    if base.is_none() {
        value.problem(
            format!("`{text}` is no http or https URL of a server"),
            "write it as http://host:port/path, without user, query or fragment",
        );
    }
    base
}

fn parse_url(text: &str) -> Option<Base> {
    let uri: Uri = text.parse().ok().filter(|_| !text.contains(['#', '?', '@']))?;
    let https = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = match uri.authority()?.as_str().strip_prefix(uri.host()?)? {
        "" if https => 443,
        "" => 80,
        port => port.strip_prefix(':')?.parse().ok()?,
    };
    let path = uri.path().trim_end_matches('/').to_owned();
    let authority = HeaderValue::from_str(uri.authority()?.as_str()).ok()?;
    Some(Base { https, host, port, path, authority })
}

/// A public path: absolute, plain, ending in `/`.
fn public_path(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.+~".contains(&b);
    let usable = text.starts_with('/')
        && text.bytes().all(plain)
        && !text.contains("//")
        && !text.split('/').any(|segment| matches!(segment, "." | ".."))
        && !text.starts_with("/_/");
    if !usable {
        value.problem(
            format!("`{text}` is no public path"),
            "begin with `/`, use letters, digits, `-`, `_`, `.`, `+`, `~`, and not /_/, which is the gateway's own",
        );
        return None;
    }
    Some(format!("{}/", text.trim_end_matches('/')))
}

fn credential(value: &Value<'_>, kind: Option<UpstreamKind>) -> Option<UpstreamCredential> {
    let table = value.table("credential")?;
    if table.not_yet(&["devpi_token_file", "command"]) {
        return None;
    }
    let (username, password) = (table.get("username"), table.get("password_file"));
    let (header, header_value) = (table.get("header"), table.get("value_file"));
    let (bearer, login) = (table.get("bearer_file"), table.get("devpi_login"));
    let credential = match (username, password, header, header_value, bearer, login) {
        (Some(user), Some(password), None, None, None, None) => basic(&user, &password),
        (None, None, Some(name), Some(secret), None, None) => field(&name, &secret),
        (None, None, None, None, Some(token), None) => bearer_credential(&token),
        (None, None, None, None, None, Some(login)) => devpi_login(&login, kind),
        _ => {
            value.problem(
                "this credential is incomplete, or more than one",
                "write { username = …, password_file = … }, { bearer_file = … }, { header = …, value_file = … } or { devpi_login = { username = …, password_file = … } }",
            );
            None
        }
    };
    table.finish();
    credential
}

fn basic(user: &Value<'_>, password: &Value<'_>) -> Option<UpstreamCredential> {
    let (user, password) = (user_name(user)?, secrets::secret(password)?);
    UpstreamCredential::basic(user, &password)
}

fn user_name<'a>(value: &Value<'a>) -> Option<&'a str> {
    let user = value.text()?;
    if user.contains(':') || user.chars().any(char::is_control) {
        value.problem("a user name has no colon and no control character", "write the name alone");
        return None;
    }
    Some(user)
}

fn bearer_credential(file: &Value<'_>) -> Option<UpstreamCredential> {
    let credential = UpstreamCredential::bearer(&secrets::secret(file)?);
    if credential.is_none() {
        file.problem(
            "the file holds characters that cannot stand in a header",
            "write the token alone into the file",
        );
    }
    credential
}

fn field(name: &Value<'_>, file: &Value<'_>) -> Option<UpstreamCredential> {
    let secret = secrets::secret(file)?;
    let text = name.text()?;
    let usable = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !is_ours(text);
    let header: Option<HeaderName> = text.to_ascii_lowercase().parse().ok().filter(|_| usable);
    let credential = header.and_then(|header| UpstreamCredential::field(header, secret.expose()));
    if credential.is_none() {
        name.problem(format!("`{text}` cannot carry a credential"), "write a header name such as X-SSO-USER");
    }
    credential
}

/// Fields of an upload that the gateway writes itself.
fn is_ours(name: &str) -> bool {
    const OURS: [&str; 7] =
        ["accept", "connection", "content-length", "content-type", "host", "transfer-encoding", "user-agent"];
    OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

fn devpi_login(value: &Value<'_>, kind: Option<UpstreamKind>) -> Option<UpstreamCredential> {
    if kind != Some(UpstreamKind::Devpi) {
        value.problem("only devpi has a login", "use another credential, or kind = \"devpi\"");
        return None;
    }
    let table = value.table("devpi_login")?;
    let user = table.require("username", "username = \"indexgate\"").and_then(|user| user_name(&user));
    let password = table
        .require("password_file", "password_file = \"secrets/devpi\"")
        .and_then(|file| secrets::secret(&file));
    table.finish();
    Some(UpstreamCredential::DevpiLogin(Arc::new(DevpiLogin::new(user?.to_owned(), password?))))
}

/// The authorities in a `ca_file`.
pub(super) fn roots(file: &Value<'_>) -> Option<TlsRoots> {
    let pem = secrets::file(file)?;
    let roots = TlsRoots::from_pem(&pem);
    roots
        .map_err(|error| {
            file.problem(error.to_string(), "name a PEM file with the certificate of the authority")
        })
        .ok()
}

/// The authorities that the system trusts.
pub(super) fn system_roots(table: &Table<'_>) -> Option<TlsRoots> {
    let roots = TlsRoots::system();
    roots
        .map_err(|error| {
            table.problem(error.to_string(), "install the system's certificates, or set ca_file")
        })
        .ok()
}

//! What a request may change behind the gateway, as far as its method, its path and the first bytes of its body tell.
//!
//! Asked only where an index of that server is closed to passwords. What is not known here may change anything.

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::{IndexRoute, UpstreamKind, UpstreamSettings};
use crate::json;

/// What a request may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write<'a> {
    /// Nothing that installers get to see.
    Nothing,
    /// Nothing: it gives a devpi login token for a password.
    Login,
    /// An index of devpi: as a form it is an upload, as a JSON command it copies a release into another index.
    UploadOrPush(DevpiIndex<'a>),
    /// Another index than this one of devpi, by a JSON command.
    Push(DevpiIndex<'a>),
    /// Anything.
    Unknown,
}

/// `user/index`, as devpi calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevpiIndex<'a>(&'a str);

/// What a request is by its path. `path` is what follows the public prefix, as it was sent.
pub fn classify<'a>(kind: UpstreamKind, method: &Method, path: &'a str) -> Write<'a> {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
        return Write::Nothing;
    }
    match kind {
        UpstreamKind::Devpi => classify_devpi(method, path),
        // Which of their paths lead into which index, nobody knows.
        UpstreamKind::Pypiserver | UpstreamKind::Generic => Write::Unknown,
    }
}

fn classify_devpi<'a>(method: &Method, path: &'a str) -> Write<'a> {
    let index = DevpiIndex::parse(path.strip_suffix('/').unwrap_or(path));
    match (method.as_str(), index) {
        ("POST", _) if path == "+login" => Write::Login,
        ("POST", _) if is_refresh(path) => Write::Nothing,
        ("POST", Some(index)) => Write::UploadOrPush(index),
        ("PUSH", Some(index)) => Write::Push(index),
        // Users, indexes and their `bases`, deletions, test results, tokens.
        _ => Write::Unknown,
    }
}

/// `user/index/+simple/project/refresh`: a mirror is asked again for what it has.
fn is_refresh(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').collect();
    matches!(*segments, [user, index, "+simple", project, "refresh"] if [user, index, project].into_iter().all(is_plain))
}

impl<'a> DevpiIndex<'a> {
    /// Only the plain spelling: what is escaped, doubled or dotted may be anything.
    fn parse(text: &'a str) -> Option<Self> {
        let (user, index) = text.split_once('/')?;
        (is_plain(user) && is_plain(index)).then_some(Self(text))
    }

    /// Whether this declared index is the one.
    pub fn is(self, index: &IndexRoute, upstream: &UpstreamSettings) -> bool {
        let rest = index.upload_path.strip_prefix(&upstream.prefix).unwrap_or(&index.upload_path);
        let path = format!("{}/{rest}", upstream.base_path);
        // Whatever stands in between may take the beginning of the path away.
        path.trim_end_matches('/').ends_with(&format!("/{}", self.0))
    }
}

/// A name that every program reads as it is written.
fn is_plain(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_@.".contains(&b);
    !text.is_empty() && text.bytes().all(plain) && !matches!(text, "." | "..")
}

/// Whether a body that begins like this is a form and cannot be a command: no charset that devpi knows turns two
/// hyphens into the beginning of a JSON object.
pub fn is_form(start: &[u8]) -> bool {
    start.starts_with(b"--") || start.starts_with(b"\r\n--")
}

/// How many bytes [`is_form`] wants to see.
pub const FORM_START: usize = 4;

/// devpi's command to copy a release into another index of the same server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushCommand {
    target: String,
    /// Written anew: devpi decodes what it gets by a charset that the client names.
    pub body: Bytes,
}

impl PushCommand {
    /// The media type of the body.
    pub const CONTENT_TYPE: &'static str = "application/json";

    /// Reads a command that says no more than which release goes into which index. There are others, which make devpi
    /// upload to any address, the gateway's included.
    pub fn read(body: &[u8]) -> Option<Self> {
        let command = json::parse(body).ok()?;
        let members = command.as_object()?;
        let known = members.iter().all(|(member, value)| match (member.as_str(), value) {
            ("name" | "version", Value::String(text)) => is_release_part(text),
            ("targetindex", Value::String(text)) => DevpiIndex::parse(text).is_some(),
            ("no_docs" | "only_docs", value) => value.is_boolean(),
            _ => false,
        });
        let complete = ["name", "version"].iter().all(|member| members.contains_key(*member));
        let target = members.get("targetindex")?.as_str()?.to_owned();
        (known && complete).then(|| Self { target, body: Bytes::from(command.to_string()) })
    }

    /// Where the release goes.
    pub fn target(&self) -> DevpiIndex<'_> {
        DevpiIndex(&self.target)
    }
}

fn is_release_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+!".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: UpstreamKind, expected: &Write<'_>, requests: &[&str]) {
        for request in requests {
            let (method, path) = request.split_once(" /").unwrap();
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(classify(kind, &method, path), *expected, "{request}");
        }
    }

    #[test]
    fn devpi_takes_uploads_and_pushes_at_the_path_of_an_index() {
        let devpi = UpstreamKind::Devpi;
        let index = DevpiIndex("alice/dev");
        check(devpi, &Write::UploadOrPush(index), &["POST /alice/dev", "POST /alice/dev/"]);
        check(devpi, &Write::Push(index), &["PUSH /alice/dev", "PUSH /alice/dev/"]);
        check(devpi, &Write::Login, &["POST /+login"]);
        check(
            devpi,
            &Write::Nothing,
            &["GET /alice/dev", "HEAD /x", "OPTIONS /alice", "POST /alice/dev/+simple/flask/refresh"],
        );
    }

    #[test]
    fn everything_else_in_devpi_may_change_anything() {
        check(
            UpstreamKind::Devpi,
            &Write::Unknown,
            &[
                // Users and indexes, `bases` included.
                "PUT /bob",
                "PATCH /bob",
                "DELETE /bob",
                "PUT /alice/dev",
                "PATCH /alice/dev",
                "PATCH /alice/dev/",
                "DELETE /alice/dev",
                // Releases, test results, tokens.
                "DELETE /alice/dev/flask",
                "DELETE /alice/dev/flask/1.0",
                "DELETE /alice/dev/+f/ab/cd/f.whl",
                "POST /alice/dev/+f/ab/cd/f.whl",
                "POST /alice/+token-create",
                "POST /alice/dev/flask/refresh",
                // Other methods and other spellings.
                "PUT /+login",
                "PUSH /+login",
                "POST /+login/",
                "POST /%2blogin",
                "MOVE /alice/dev",
                "POST /",
                "POST /alice",
                "POST /alice/",
                "POST /alice/dev//",
                "POST //alice/dev",
                "POST /alice//dev",
                "POST /alice/%64ev",
                "POST /alice%2fdev",
                "POST /alice/x/../dev",
                "POST /alice/.",
                "POST /../dev",
                "POST /alice/dev;x",
                "POST /alice/+api",
                "POST /a/b/c",
                "PUSH /alice/dev/flask",
                "POST /alice/dev/+simple/%2e/refresh",
                "POST /alice/dev/+simple/../refresh",
                "DELETE /alice/dev/+simple/flask/refresh",
            ],
        );
    }

    #[test]
    fn of_other_servers_only_reads_are_known() {
        for kind in [UpstreamKind::Pypiserver, UpstreamKind::Generic] {
            check(kind, &Write::Nothing, &["GET /", "HEAD /", "OPTIONS /"]);
            check(
                kind,
                &Write::Unknown,
                &["POST /", "POST /+login", "PUSH /a/b", "POST /a/b/", "PUT /a", "DELETE /a"],
            );
        }
    }

    #[test]
    fn a_form_begins_with_its_first_delimiter() {
        for form in ["--", "--B\r\n", "\r\n--B"] {
            assert!(is_form(form.as_bytes()), "{form:?}");
        }
        for other in
            ["", "-", "-1", "\r\n-", "\n--B", " --B", "{}", "+AHs-", ":action=file_upload", "preamble\r\n--B"]
        {
            assert!(!is_form(other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn a_push_says_which_release_goes_into_which_index() {
        let plain = r#" { "targetindex" : "root/\u0070rod", "name":"acme-widget", "version":"1!2.0+x", "no_docs":true}"#;
        let push = PushCommand::read(plain.as_bytes()).unwrap();
        assert_eq!(push.target(), DevpiIndex("root/prod"));
        let written: Value = serde_json::from_slice(&push.body).unwrap();
        assert_eq!(written["targetindex"], "root/prod");
        assert!(push.body.is_ascii());
    }

    #[test]
    fn what_is_no_plain_push_is_none() {
        for other in [
            "",
            "[]",
            "null",
            r#"["name","version","targetindex"]"#,
            r#"{"name":"a","version":"1"}"#,
            r#"{"name":"a","targetindex":"root/dev"}"#,
            r#"{"version":"1","targetindex":"root/dev"}"#,
            r#"{"name":"a","version":"1","targetindex":null}"#,
            r#"{"name":"a","version":"1","targetindex":["root/dev"]}"#,
            r#"{"name":"a","version":"1","targetindex":"root"}"#,
            r#"{"name":"a","version":"1","targetindex":"/root/dev"}"#,
            r#"{"name":"a","version":"1","targetindex":"root/dev/"}"#,
            r#"{"name":"a","version":"1","targetindex":"root/dev/x"}"#,
            r#"{"name":"a","version":"1","targetindex":"root/d%65v"}"#,
            r#"{"name":"a","version":"1","targetindex":"root/dev","targetindex":"root/prod"}"#,
            r#"{"name":"a","version":"1","targetindex":"root/dev","+AHQ-argetindex":"root/prod"}"#,
            r#"{"name":"a","version":"1","targetindex":"root/dev","posturl":"https://x/"}"#,
            r#"{"name":"a","version":"1","targetindex":"root/dev","no_docs":"yes"}"#,
            r#"{"name":"a b","version":"1","targetindex":"root/dev"}"#,
            r#"{"name":"\u017f","version":"1","targetindex":"root/dev"}"#,
            r#"{"name":"a","version":1,"targetindex":"root/dev"}"#,
            r#"{"name":"a","version":"1","posturl":"https://x/","username":"u","password":"p"}"#,
            r#"{"name":"a","version":"1","targetindex":"root/dev"} {}"#,
        ] {
            assert_eq!(PushCommand::read(other.as_bytes()), None, "{other}");
        }
    }
}

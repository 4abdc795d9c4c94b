//! Which door a request goes through. Decided on the raw target; a target that only *means* one of the gateway's
//! own paths is refused, never resolved.

use http::Method;
use percent_encoding::percent_decode_str;

use super::Refusal;
use crate::names::{IndexName, UpstreamName};
use crate::policy::Passwords;

/// All doors of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// The indexes that take guarded uploads.
    pub indexes: Vec<IndexRoute>,
    /// The upstreams by public prefix.
    pub upstreams: Vec<UpstreamRoute>,
}

/// Where uploads to an index arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRoute {
    /// The index.
    pub index: IndexName,
    /// The upstream behind it.
    pub upstream: UpstreamName,
    /// The public path, ending in `/`.
    pub upload_path: String,
    /// Whether a publisher may grant every project of it.
    pub any_project: bool,
    /// What classic credentials may do, where no `[[project]]` says otherwise.
    pub passwords: Passwords,
}

/// Which upstream answers under a public prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamRoute {
    /// The upstream.
    pub upstream: UpstreamName,
    /// The public prefix, beginning and ending in `/`.
    pub prefix: String,
}

/// A path that the gateway answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnPath<'a> {
    /// `/.well-known/pytp`: where the exchange of an index is.
    Discovery,
    /// A step of the exchange, at the paths that the whole host shares.
    Host(Endpoint),
    /// The same step at the paths of one index: `/_/indexgate/{index}/…`.
    Index(&'a IndexRoute, Endpoint),
    /// Anything else under `/_/`, and every disguise of one of the gateway's paths.
    Unknown,
}

/// A step of the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// What to ask the CI system for.
    Audience,
    /// An identity token for an upload token.
    Mint,
    /// What an exchange would give.
    Check,
    /// An upload token is given back.
    Burn,
}

impl Endpoint {
    /// The last segment of its path.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audience => "audience",
            Self::Mint => "mint-token",
            Self::Check => "check",
            Self::Burn => "burn-token",
        }
    }

    const ALL: [Self; 4] = [Self::Audience, Self::Mint, Self::Check, Self::Burn];
}

/// The door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// Answered here, never forwarded.
    Own(OwnPath<'a>),
    /// `POST` to the upload path of an index, spelt exactly.
    Upload(&'a IndexRoute),
    /// `POST` to something that an index server may take for the upload path of this index.
    AlmostUpload(&'a IndexRoute),
    /// `GET` and `HEAD`.
    Read,
    /// Everything else.
    Other,
}

impl Routes {
    /// Finds the door for a method and a raw target.
    pub fn find(&self, method: &Method, path: &str, query: Option<&str>) -> Result<Route<'_>, Refusal> {
        let plain = resolved(path);
        if let Some(own) = self.own_path(path, &plain.path) {
            return Ok(Route::Own(own));
        }
        check_method(method)?;
        if plain.climbs || self.upstream(path) != self.upstream(&plain.path) {
            return Err(Refusal::BadTarget("it leads out of the part of the index that is served here"));
        }
        if method == Method::GET || method == Method::HEAD {
            return Ok(Route::Read);
        }
        if method != Method::POST {
            return Ok(Route::Other);
        }
        let exact = query.is_none().then(|| self.index_at(path)).flatten();
        let almost = || self.index_at(&plain.path);
        Ok(match (exact, almost()) {
            (Some(index), _) => Route::Upload(index),
            (None, Some(index)) => Route::AlmostUpload(index),
            (None, None) => Route::Other,
        })
    }

    fn own_path(&self, raw: &str, plain: &str) -> Option<OwnPath<'_>> {
        match raw {
            "/.well-known/pytp" => Some(OwnPath::Discovery),
            "/_/oidc/audience" => Some(OwnPath::Host(Endpoint::Audience)),
            "/_/oidc/mint-token" | "/_/oidc/github/mint-token" => Some(OwnPath::Host(Endpoint::Mint)),
            "/_/oidc/burn-token" => Some(OwnPath::Host(Endpoint::Burn)),
            "/_/indexgate/check" => Some(OwnPath::Host(Endpoint::Check)),
            _ => {
                let reserved = || [raw, plain].iter().any(|path| is_reserved(path));
                self.path_of_index(raw).or_else(|| reserved().then_some(OwnPath::Unknown))
            }
        }
    }

    /// `/_/indexgate/{index}/{endpoint}`, byte for byte.
    fn path_of_index(&self, raw: &str) -> Option<OwnPath<'_>> {
        let (name, endpoint) = raw.strip_prefix(INDEX_PATHS)?.split_once('/')?;
        let index = self.indexes.iter().find(|index| index.index.as_str() == name)?;
        let endpoint = Endpoint::ALL.into_iter().find(|known| known.name() == endpoint)?;
        Some(OwnPath::Index(index, endpoint))
    }

    /// The index that takes uploads at this path, with or without its last slash.
    pub fn index_at(&self, upload_path: &str) -> Option<&IndexRoute> {
        self.indexes.iter().find(|index| index.takes(upload_path))
    }

    /// The upstream for a raw path: the longest public prefix wins.
    pub fn upstream(&self, path: &str) -> Option<&UpstreamRoute> {
        self.upstreams.iter().filter(|route| route.takes(path)).max_by_key(|route| route.prefix.len())
    }
}

impl IndexRoute {
    /// The path of one of its own endpoints. Names of indexes need no escaping in a path.
    pub fn own_path(&self, endpoint: Endpoint) -> String {
        format!("{INDEX_PATHS}{}/{}", self.index, endpoint.name())
    }

    /// With or without the last slash, byte for byte.
    fn takes(&self, path: &str) -> bool {
        path == self.upload_path || format!("{path}/") == self.upload_path
    }
}

impl UpstreamRoute {
    fn takes(&self, path: &str) -> bool {
        path.starts_with(&self.prefix) || format!("{path}/") == self.prefix
    }
}

/// Methods are compared as bytes: some index servers take `post` for `POST`. `CONNECT` and `TRACE` are never served.
fn check_method(method: &Method) -> Result<(), Refusal> {
    let upper_case = method.as_str().bytes().all(|b| b.is_ascii_uppercase());
    if !upper_case || method == Method::CONNECT || method == Method::TRACE || method.as_str() == "TRACK" {
        return Err(Refusal::Method);
    }
    Ok(())
}

/// What the paths of one index begin with.
const INDEX_PATHS: &str = "/_/indexgate/";

fn is_reserved(path: &str) -> bool {
    path.starts_with("/_/") || path == "/.well-known/pytp"
}

/// What an index server may make of a path.
struct Resolved {
    path: String,
    climbs: bool,
}

/// One percent-decoding, slashes merged, dot segments resolved.
fn resolved(raw: &str) -> Resolved {
    let decoded = percent_decode_str(raw).decode_utf8_lossy();
    let mut climbs = false;
    let mut segments: Vec<&str> = Vec::new();
    let mut last_is_folder = true;
    for segment in decoded.split('/') {
        last_is_folder = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => climbs |= segments.pop().is_none(),
            _ => segments.push(segment),
        }
    }
    let mut path = format!("/{}", segments.join("/"));
    if last_is_folder && !segments.is_empty() {
        path.push('/');
    }
    Resolved { path, climbs }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn routes() -> Routes {
        Routes {
            indexes: vec![IndexRoute {
                index: "prod".parse().unwrap(),
                upstream: "devpi".parse().unwrap(),
                upload_path: "/root/prod/".to_owned(),
                any_project: false,
                passwords: Passwords::Allow,
            }],
            upstreams: vec![
                UpstreamRoute { upstream: "devpi".parse().unwrap(), prefix: "/".to_owned() },
                UpstreamRoute { upstream: "old".parse().unwrap(), prefix: "/old/".to_owned() },
            ],
        }
    }

    fn find(method: &str, target: &str) -> String {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let routes = routes();
        match routes.find(&Method::from_bytes(method.as_bytes()).unwrap(), path, query) {
            Ok(Route::Own(OwnPath::Discovery)) => "discovery".to_owned(),
            Ok(Route::Own(OwnPath::Host(endpoint))) => format!("{endpoint:?}"),
            Ok(Route::Own(OwnPath::Index(index, endpoint))) => format!("{endpoint:?} of {}", index.index),
            Ok(Route::Own(OwnPath::Unknown)) => "Unknown".to_owned(),
            Ok(Route::Upload(_)) => "upload".to_owned(),
            Ok(Route::AlmostUpload(_)) => "almost".to_owned(),
            Ok(Route::Read) => "read".to_owned(),
            Ok(Route::Other) => "other".to_owned(),
            Err(Refusal::Method) => "method".to_owned(),
            Err(_) => "refused".to_owned(),
        }
    }

    #[track_caller]
    fn check(method: &str, expected: &str, targets: &[&str]) {
        for target in targets {
            assert_eq!(find(method, target), expected, "{method} {target}");
        }
    }

    #[test]
    fn the_gateway_answers_its_own_paths_whatever_the_query() {
        check("GET", "Audience", &["/_/oidc/audience", "/_/oidc/audience?x=1"]);
        check("POST", "Mint", &["/_/oidc/mint-token", "/_/oidc/github/mint-token", "/_/oidc/mint-token?x=1"]);
        check("POST", "Burn", &["/_/oidc/burn-token"]);
        check("POST", "Check", &["/_/indexgate/check", "/_/indexgate/check?x"]);
        check("GET", "discovery", &["/.well-known/pytp", "/.well-known/pytp?discover=x"]);
        check("GET", "Unknown", &["/_/", "/_/x", "/_/oidc/", "/_/oidc/audience/", "/_/oidc/check"]);
    }

    #[test]
    fn each_index_has_the_exchange_at_paths_of_its_own() {
        check("GET", "Audience of prod", &["/_/indexgate/prod/audience", "/_/indexgate/prod/audience?x=1"]);
        check("POST", "Mint of prod", &["/_/indexgate/prod/mint-token"]);
        check("POST", "Check of prod", &["/_/indexgate/prod/check"]);
        check("POST", "Burn of prod", &["/_/indexgate/prod/burn-token"]);
        let index = &routes().indexes[0];
        assert_eq!(index.own_path(Endpoint::Mint), "/_/indexgate/prod/mint-token");
        check(
            "POST",
            "Unknown",
            &[
                "/_/indexgate/dev/mint-token",
                "/_/indexgate/Prod/mint-token",
                "/_/indexgate//mint-token",
                "/_/indexgate/prod",
                "/_/indexgate/prod/",
                "/_/indexgate/prod/x",
                "/_/indexgate/prod/mint-token/",
            ],
        );
    }

    #[test]
    fn a_disguise_of_an_own_path_is_not_forwarded() {
        check(
            "GET",
            "Unknown",
            &[
                "//_/oidc/audience",
                "/%5F/oidc/audience",
                "/%5f/oidc/audience",
                "/./_/oidc/audience",
                "/a/../_/oidc/audience",
                "/_//oidc/audience",
                "/%2e/_/x",
                "/_%2Foidc%2Faudience",
                "/.well-known/./pytp",
                "/.well-known%2fpytp",
                "/.well-known//pytp",
                "/.well-known/%70ytp",
                "/_/indexgate/%70rod/mint-token",
                "/_/indexgate/prod//mint-token",
                "/_/indexgate/./prod/mint-token",
                "/_/indexgate/x/../prod/mint-token",
                "/_/indexgate/prod%2Fmint-token",
                "/_/indexgate/%63heck",
                "//_/indexgate/check",
                "/../_/x",
                "/_/../_/x",
                "/_/..",
            ],
        );
        check("GET", "read", &["/_", "/_x/", "/a/_/", "/.well-known/other", "/%255F/oidc/audience"]);
    }

    #[test]
    fn an_upload_is_a_post_to_the_exact_path() {
        check("POST", "upload", &["/root/prod/", "/root/prod"]);
        check(
            "POST",
            "almost",
            &[
                "/root/prod/?x=1",
                "/root/prod?",
                "//root/prod/",
                "/root//prod/",
                "/root%2Fprod/",
                "/root/%70rod/",
                "/root/./prod/",
                "/root/x/../prod",
                "/root/prod//",
                "/%72oot/prod",
            ],
        );
        check(
            "POST",
            "other",
            &["/root/dev/", "/", "/Root/prod/", "/root/prod/x", "/root/prodx/", "/root/prod;x"],
        );
        check("PUSH", "other", &["/root/prod/"]);
        check("DELETE", "other", &["/root/prod/"]);
    }

    #[test]
    fn methods_are_upper_case_and_make_no_tunnel() {
        check("post", "method", &["/root/prod/"]);
        check("Post", "method", &["/root/prod/"]);
        check("PO$T", "method", &["/"]);
        check("CONNECT", "method", &["/"]);
        check("TRACE", "method", &["/"]);
        check("TRACK", "method", &["/"]);
        check("HEAD", "read", &["/root/prod/"]);
    }

    #[test]
    fn the_longest_prefix_names_the_upstream_and_dots_do_not_lead_out_of_it() {
        let routes = routes();
        let upstream = |path| routes.upstream(path).unwrap().upstream.as_str().to_owned();
        assert_eq!(upstream("/x"), "devpi");
        assert_eq!(upstream("/old"), "old");
        assert_eq!(upstream("/old/x"), "old");
        assert_eq!(upstream("/older/x"), "devpi");
        check("GET", "refused", &["/old/../x", "/old/%2e%2e/x", "/x/../old/y", "/..", "/../x", "/x/../../y"]);
        check("GET", "read", &["/old/x/../y", "/x/./y"]);
    }

    proptest! {
        #[test]
        fn nothing_that_resolves_to_an_own_path_is_forwarded(path in "(/|%2[fF]|[._a]|%5[fF]|%2[eE]){1,12}") {
            let path = format!("/{path}");
            if is_reserved(&resolved(&path).path) {
                prop_assert_eq!(find("GET", &path), "Unknown");
            }
        }

        #[test]
        fn no_target_makes_it_panic(method in "[A-Za-z]{1,8}", path in "/[ -~]{0,30}") {
            find(&method, &path);
        }
    }
}

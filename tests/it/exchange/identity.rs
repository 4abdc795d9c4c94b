//! Whose token it is, and whether it is one. `oidc` tests the details; here is each class of flaw over the wire, and the
//! words that the caller and the audit get for it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::{MINT, Scene, check_refused, payload, scene};
use crate::support::claims::{COMMIT, Claims};
use crate::support::gateway::AUDIENCE;
use crate::support::issuer::now;
use crate::support::raw::Raw;
use crate::support::recorder::Recorder;
use crate::support::{hex, random};

#[test]
fn what_is_no_jwt_is_malformed() {
    let scene = scene();
    let jwt = scene.github.token(&Claims::github(), AUDIENCE);
    let [head, body, signature] = jwt.split('.').collect::<Vec<_>>()[..] else { panic!("three segments") };
    let serialised =
        json!({"protected": head, "payload": body, "signature": signature, "header": {"kid": "x"}});
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "not-a-jwt".to_owned(),
        "pypi-AgEIcHlwaS5vcmc".to_owned(),
        serialised.to_string(),
        format!("{head}.{body}"),
        format!("{jwt}.{signature}.{signature}"),
        format!("{jwt}\n"),
        format!(" {jwt}"),
        format!("{jwt}="),
        format!("{head}=.{body}.{signature}"),
        format!("{head}.{body}.{}", signature.replace(['-', '_'], "/")),
        format!("{head}.{}.{signature}", body.to_owned() + "\u{0}"),
    ] {
        if bad != jwt {
            assert!(scene.refuses(&bad, "invalid-payload").starts_with("malformed JWT"), "{bad}");
        }
    }
    let header = json!({"typ": "JWT", "alg": "RS256", "kid": scene.github.key_id()}).to_string();
    let nested = format!("{{\"iss\":\"{}\",\"z\":{}}}", scene.github.url(), "[".repeat(4000));
    for text in ["[]", "\"x\"", "7", "null", "", "\u{feff}{}", "{} {}", "{\"iss\":NaN}", &nested] {
        let words = scene.refuses(&scene.github.sign(&header, text), "invalid-payload");
        assert!(words.starts_with("malformed JWT"), "{text:.40}: {words}");
    }
    // None of these used the token up.
    scene.accepts(&jwt);
}

#[test]
fn an_issuer_is_known_by_its_exact_url_and_nobody_else_is_asked() {
    let scene = scene();
    let elsewhere = Recorder::start();
    let address = elsewhere.url().replace("http://", "");
    let url = scene.github.url();
    for iss in [
        format!("{url}/"),
        format!("{url}/acme"),
        format!("{url}?x"),
        format!("{url}#x"),
        format!("{url}/."),
        url.replace("https", "HTTPS"),
        url.replace("https", "http"),
        url.replace("127.0.0.1", "localhost"),
        url.replace("127.0.0.1", "127.0.0.1."),
        url.replace("127.0.0.1", "127.0.0.%31"),
        format!(" {url}"),
        format!("{url}\u{0}"),
        format!("https://{address}"),
        format!("{url}@{address}"),
        "https://token.actions.githubusercontent.com".to_owned(),
        "https".to_owned(),
        "nonexistent-issuer".to_owned(),
        String::new(),
    ] {
        let jwt = scene.github.token(&Claims::github().with("iss", iss.as_str()), AUDIENCE);
        let words = scene.refuses(&jwt, "invalid-payload");
        assert!(words.starts_with("unknown trusted publishing issuer ("), "{iss}: {words}");
    }
    for iss in [Value::Null, json!(7), json!([url]), json!({ "url": url })] {
        let jwt = scene.github.token(&Claims::github().with("iss", iss), AUDIENCE);
        assert!(scene.refuses(&jwt, "invalid-payload").starts_with("malformed JWT"));
    }
    let nobody = scene.github.token(&Claims::github().without("iss"), AUDIENCE);
    assert!(scene.refuses(&nobody, "invalid-payload").starts_with("malformed JWT"));
    // The right name, and another issuer's key.
    let foreign = scene.gitlab.token(&Claims::github().with("iss", url), AUDIENCE);
    scene.refuses(&foreign, "invalid-token");
    assert!(elsewhere.connections().is_empty());
}

/// A token with a flaw is refused without a word about which, and the audit knows it.
#[track_caller]
fn check_flawed(scene: &Scene, what: &str, jwt: &str, audited: &str) {
    let words = scene.refuses(jwt, "invalid-token");
    let (public, reference) = words.split_once(" (reference ").expect("the reference ends it");
    assert_eq!(public, "malformed or invalid token", "{what}");
    let lines = scene.gateway.audit_about(reference.trim_end_matches(')'));
    let [line] = lines.as_slice() else { panic!("{what}: {lines:?}") };
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains(audited), "{what}: {reason}");
    assert_eq!((&line["event"], &line["decision"]), (&json!("mint"), &json!("refuse")), "{what}");
}

#[test]
fn a_header_that_means_something_else_is_not_believed() {
    let scene = scene();
    let elsewhere = Recorder::start();
    let place = format!("{}/jwks.json", elsewhere.url());
    for (what, members, audited) in [
        ("none", json!({"alg": "none"}), "algorithm"),
        ("None", json!({"alg": "None"}), "algorithm"),
        ("lower case", json!({"alg": "rs256"}), "algorithm"),
        ("no text", json!({"alg": ["RS256"]}), "algorithm"),
        ("null", json!({"alg": null}), "algorithm"),
        ("outside the list", json!({"alg": "RS512"}), "algorithm"),
        ("another family", json!({"alg": "ES256"}), "algorithm"),
        ("not a JWT", json!({"typ": "at+jwt"}), "typ"),
        ("one of ours", json!({"typ": "indexgate-upload+jwt"}), "typ"),
        ("crit", json!({"crit": ["x-own"], "x-own": 1}), "header member"),
        ("empty crit", json!({"crit": []}), "header member"),
        ("jku", json!({"jku": place}), "header member `jku`"),
        ("x5u", json!({"x5u": place}), "header member `x5u`"),
        ("jwk", json!({"jwk": {"kty": "oct", "k": "AAAA"}}), "header member `jwk`"),
        ("x5c", json!({"x5c": ["AAAA"]}), "header member `x5c`"),
        ("b64", json!({"b64": false}), "header member `b64`"),
        ("zip", json!({"zip": "DEF"}), "header member `zip`"),
        ("a number as kid", json!({"kid": 7}), "kid"),
        ("null as kid", json!({"kid": null}), "kid"),
        ("an empty kid", json!({"kid": ""}), "kid"),
        ("a line break in kid", json!({"kid": "k\r\nX: y"}), "kid"),
        ("an escape in kid", json!({"kid": "k\u{1b}[2J"}), "kid"),
        ("a long kid", json!({"kid": "a".repeat(9_000)}), "kid"),
        ("an unknown kid", json!({"kid": "../../../dev/null"}), "no key"),
    ] {
        check_flawed(scene, what, &scene.with_header(&members), audited);
    }
    let bare = json!({"alg": "RS256"}).to_string();
    let claims = payload(&scene.github, &Claims::github()).to_string();
    check_flawed(scene, "no kid", &scene.github.sign(&bare, &claims), "kid");
    let kid = scene.github.key_id();
    let twice = format!("{{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":\"{kid}\"}}");
    check_flawed(scene, "alg twice", &scene.github.sign(&twice, &claims), "twice");
    let repeated = claims.replacen('{', "{\"repository\":\"acme/widget\",", 1);
    check_flawed(scene, "a claim twice", &scene.with_header_and(&repeated), "twice");
    assert!(elsewhere.connections().is_empty());

    let sparse = json!({"alg": "RS256", "kid": kid}).to_string();
    scene.accepts(&scene.github.sign(&sparse, &claims));
    scene.accepts(&scene.with_header(&json!({"typ": "jwt", "x5t": "GgZ1"})));
}

impl Scene {
    fn with_header_and(&self, payload: &str) -> String {
        let header = json!({"typ": "JWT", "alg": "RS256", "kid": self.github.key_id()});
        self.github.sign(&header.to_string(), payload)
    }
}

#[test]
fn a_signature_that_is_not_the_issuers_is_not_believed() {
    let scene = scene();
    let jwt = scene.github.token(&Claims::github(), AUDIENCE);
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let with = |bytes: &[u8]| format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes));
    let mut flipped = bytes.clone();
    flipped[100] ^= 1;
    for (what, jwt) in [
        ("one bit", with(&flipped)),
        ("shorter", with(&bytes[1..])),
        ("longer", with(&[&bytes[..], &[0]].concat())),
        ("zeros", with(&[0; 256])),
        ("none", with(&[])),
    ] {
        check_flawed(scene, what, &jwt, "signature");
    }
    let (other, _) = scene.github.token(&Claims::github(), AUDIENCE).rsplit_once('.').map(owned).unwrap();
    check_flawed(scene, "of another token", &format!("{other}.{signature}"), "signature");
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "none", "kid": scene.github.key_id()}).to_string());
    let body = signed.split('.').nth(1).unwrap();
    check_flawed(scene, "none over a good one", &format!("{header}.{body}.{signature}"), "algorithm");
    check_flawed(scene, "none without one", &format!("{header}.{body}."), "algorithm");

    // The public key as the secret of a symmetric algorithm, in every form somebody might hold it in.
    let key = scene.github.key_set()["keys"][0].clone();
    let modulus = URL_SAFE_NO_PAD.decode(key["n"].as_str().unwrap()).unwrap();
    let der = [&b"\x30\x82\x01\x0a\x02\x82\x01\x01\x00"[..], &modulus, b"\x02\x03\x01\x00\x01"].concat();
    let pem =
        format!("-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----", STANDARD.encode(&der));
    let claims = payload(&scene.github, &Claims::github());
    for secret in
        [modulus, der, pem.clone().into_bytes(), format!("{pem}\n").into_bytes(), key.to_string().into()]
    {
        for algorithm in [Algorithm::HS256, Algorithm::HS512] {
            let header = Header { kid: Some(scene.github.key_id()), ..Header::new(algorithm) };
            let forged = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&secret)).unwrap();
            check_flawed(scene, "a public key as a secret", &forged, "algorithm");
        }
    }
    scene.accepts(&jwt);
}

fn owned((a, b): (&str, &str)) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

#[test]
fn a_token_for_another_audience_or_another_time_is_not_believed() {
    let scene = scene();
    let now = now();
    let upper = AUDIENCE.to_uppercase();
    for (claim, value, audited) in [
        ("aud", json!("pypi"), "`aud`"),
        ("aud", json!(upper), "`aud`"),
        ("aud", json!(format!("{AUDIENCE}/")), "`aud`"),
        ("aud", json!(format!("{AUDIENCE} ")), "`aud`"),
        ("aud", json!(format!("{AUDIENCE}.evil")), "`aud`"),
        ("aud", json!([AUDIENCE]), "`aud`"),
        ("aud", json!([AUDIENCE, "pypi"]), "`aud`"),
        ("aud", json!([]), "`aud`"),
        ("aud", json!([[AUDIENCE]]), "`aud`"),
        ("aud", json!({"0": AUDIENCE}), "`aud`"),
        ("aud", json!(""), "`aud`"),
        ("aud", json!(0), "`aud`"),
        ("aud", Value::Null, "`aud`"),
        ("exp", json!(now - 35), "expired"),
        ("exp", json!(0), "expired"),
        ("exp", json!(-1), "`exp`"),
        ("exp", json!("9999999999"), "`exp`"),
        ("exp", json!(now as f64 + 600.5), "`exp`"),
        ("exp", json!(true), "`exp`"),
        ("exp", json!([]), "`exp`"),
        ("exp", Value::Null, "`exp`"),
        ("exp", json!(1e20), "`exp`"),
        ("exp", json!(now + 3700), "lives for"),
        ("exp", json!(now * 1000), "lives for"),
        ("iat", json!(now + 120), "`iat`"),
        ("iat", json!(now.to_string()), "`iat`"),
        ("iat", Value::Null, "`iat`"),
        ("nbf", json!(now + 120), "`nbf`"),
        ("nbf", json!("9999999999"), "`nbf`"),
        ("nbf", Value::Null, "`nbf`"),
        ("sub", json!(7), "`sub`"),
        ("sub", Value::Null, "`sub`"),
        ("jti", json!(7), "`jti`"),
        ("jti", json!(""), "`jti`"),
        ("jti", json!("  "), "`jti`"),
        ("jti", json!([]), "`jti`"),
        ("jti", json!("a\u{0}b"), "`jti`"),
        ("jti", json!("a".repeat(1025)), "`jti`"),
    ] {
        let jwt = scene.github.token(&Claims::github().with(claim, value.clone()), AUDIENCE);
        check_flawed(scene, &format!("{claim} {value}"), &jwt, audited);
    }
    for claim in ["aud", "exp", "iat"] {
        let jwt = scene.github.token(&Claims::github().without(claim), AUDIENCE);
        check_flawed(scene, &format!("no {claim}"), &jwt, &format!("`{claim}` is missing"));
    }
    let gitlab = scene.gitlab.token(&scene.gitlab_claims().with("aud", json!([AUDIENCE])), AUDIENCE);
    check_flawed(scene, "a list from GitLab", &gitlab, "`aud`");

    let good = Claims::github();
    for claims in [
        good.clone().with("exp", now - 10).with("iat", now - 600),
        good.clone().with("iat", now + 20).with("nbf", now + 20),
        good.clone().without("nbf"),
        good.clone().with("jti", format!("{}{}", hex(&random::<16>()), "a".repeat(900))),
    ] {
        scene.accepts(&scene.github.token(&claims, AUDIENCE));
    }
    // GitLab's tokens may live for as long as its longest jobs.
    scene.accepts(&scene.gitlab.token(&scene.gitlab_claims().with("exp", now + 20 * 3600), AUDIENCE));
}

#[test]
fn a_github_job_that_is_another_one_gets_nothing() {
    let scene = scene();
    let good = Claims::github;
    let file = |place: &str| good().with("job_workflow_ref", place).with("workflow_ref", place);
    let tag = "refs/tags/v1.2.0";
    let owner = |repository: &str| good().repository(repository, "1", "2");
    for (claims, expected) in [
        // Its neighbours, each with its own consistent claims.
        (owner("acme/widget-evil"), "no publisher here trusts this identity"),
        (owner("acme/widgetx"), "no publisher here trusts this identity"),
        (owner("acme/widge"), "no publisher here trusts this identity"),
        (owner("acme-evil/widget"), "no publisher here trusts this identity"),
        (owner("xacme/widget"), "no publisher here trusts this identity"),
        // The name given to somebody else, or made anew.
        (good().repository("acme/widget", "887766", "9999"), "no publisher here trusts this identity"),
        (good().repository("acme/widget", "1", "4411"), "no publisher here trusts this identity"),
        // No path of plain names.
        (good().with("repository", "widget"), "'repository'"),
        (good().with("repository", "acme/widget/x"), "'repository'"),
        (good().with("repository", "acme/widget/"), "'repository'"),
        (good().with("repository", "acme//widget"), "'repository'"),
        (good().with("repository", "acme/x/../widget"), "'repository'"),
        (good().with("repository", "acme/widget "), "'repository'"),
        (good().with("repository", "acme/widget\n"), "'repository'"),
        (good().with("repository", "acme%2Fwidget"), "'repository'"),
        (good().with("repository", "\u{430}cme/widget"), "'repository'"),
        (good().with("repository", json!(["acme/widget"])), "'repository'"),
        (good().with("repository_owner", "evil"), "does not agree"),
        (good().with("repository_owner_id", "04411"), "'repository_owner_id'"),
        (good().with("repository_owner_id", " 4411"), "'repository_owner_id'"),
        (good().with("repository_id", 887_766.5), "'repository_id'"),
        // Another file, or none.
        (good().github_workflow("other.yml"), "workflow is `other.yml`"),
        (good().github_workflow("release.yaml"), "`.yml` and `.yaml` are different files"),
        (good().github_workflow("RELEASE.yml"), "workflow is `RELEASE.yml`"),
        (good().github_workflow("xrelease.yml"), "workflow is `xrelease.yml`"),
        (good().github_workflow("sub/release.yml"), "Could not extract"),
        (file(&format!("acme/widget/.github/workflows/.yml@{tag}")), "Could not extract"),
        (file(&format!("acme/widget/.github/workflows/@{tag}")), "Could not extract"),
        (file("acme/widget/.github/workflows/release.yml@"), "does not match"),
        (file("release.yml"), "does not match"),
        (file(&format!("acme/widget/.github/workflows/release.yml@fake.yml@{tag}")), "release.yml@fake.yml"),
        (file("acme/widget/.github/workflows/release.yml@refs/heads/evil"), "does not match"),
        (file("acme/widget/.github/workflows/evil.yml@refs/heads/release.yml"), "does not match"),
        (file(&format!("evil/x/.github/workflows/release.yml@{tag}")), "does not match"),
        (good().with("workflow_ref", ""), "'workflow_ref'"),
        (good().with("job_workflow_ref", json!({})), "'job_workflow_ref'"),
        // Started by one file, run in another.
        (
            good().with("job_workflow_ref", format!("corp/shared/.github/workflows/release.yml@{tag}")),
            "reusable workflow",
        ),
        (
            good().with("workflow_ref", format!("acme/widget/.github/workflows/ci.yml@{tag}")),
            "workflow is `ci.yml`",
        ),
        // Another environment, event or version.
        (good().without("environment"), "give the job this environment"),
        (good().with("environment", ""), "give the job this environment"),
        (good().github_environment("staging"), "environment is `staging`"),
        (good().with("environment", 5), "'environment'"),
        (good().with("event_name", "pull_request_target"), "event is `pull_request_target`"),
        (good().with("event_name", "pull_request"), "event is `pull_request`"),
        (good().with("event_name", "workflow_run"), "event is `workflow_run`"),
        (good().with("event_name", ""), "'event_name'"),
        (good().github_ref("refs/heads/main"), "start the run from a tag"),
        (good().github_ref("nightly"), "tag is `nightly`"),
        (good().with("ref", "").with("sha", ""), "The ref and sha claims are empty"),
    ] {
        let words = scene.refuses(&scene.github.token(&claims, AUDIENCE), "invalid-publisher");
        assert!(words.starts_with("valid token, but no corresponding publisher ("), "{words}");
        assert!(words.contains(expected), "{expected}: {words}");
    }
    for claim in [
        "repository",
        "repository_owner",
        "repository_owner_id",
        "workflow_ref",
        "job_workflow_ref",
        "event_name",
        "ref",
        "sha",
        "jti",
    ] {
        let words = scene.refuses(&scene.github.token(&good().without(claim), AUDIENCE), "invalid-publisher");
        assert!(words.contains(&format!("Missing claim '{claim}'")), "{words}");
    }
    let null = good().with("repository_owner_id", Value::Null);
    let words = scene.refuses(&scene.github.token(&null, AUDIENCE), "invalid-publisher");
    assert!(words.contains("Missing claim 'repository_owner_id'"), "{words}");
}

#[test]
fn a_github_job_is_itself_in_every_spelling_that_github_uses() {
    let scene = scene();
    let good = Claims::github;
    let at_commit = format!("acme/widget/.github/workflows/release.yml@{COMMIT}");
    for claims in [
        good().repository("ACME/Widget", "887766", "4411"),
        good().github_environment("PyPI"),
        good().with("repository_owner_id", 4411).with("repository_id", 887_766),
        good().with("sub", "repo:acme/widget:environment:pypi"),
        good().with("sub", "repository_id:887766:customised"),
        good().without("sub"),
        good().with("workflow_ref", at_commit.as_str()).with("job_workflow_ref", at_commit.as_str()),
        good().with("repo_property_team", "x").with("new_claim", json!({"a": [1]})).with("x-y", Value::Null),
        good().with("event_name", "release"),
        good().with("event_name", "workflow_dispatch"),
    ] {
        scene.accepts(&scene.github.token(&claims, AUDIENCE));
    }
}

#[test]
fn a_gitlab_job_that_is_another_one_gets_nothing() {
    let scene = scene();
    let good = || scene.gitlab_claims();
    let host = scene.gitlab.url().replace("https://", "");
    let file = |uri: String| good().with("ci_config_ref_uri", uri);
    for (claims, expected) in [
        (good().project("platform/libs/widget-evil", "21", "72"), "no publisher here trusts this identity"),
        (good().project("evil/libs/widget", "21", "73"), "no publisher here trusts this identity"),
        (good().with("namespace_id", "99").with("job_namespace_id", "99"), "no publisher here trusts"),
        (good().with("project_path", "widget"), "'project_path'"),
        (good().with("namespace_path", "platform"), "does not agree"),
        (good().gitlab_workflow("other.yml"), "workflow is `other.yml`"),
        (file(format!("{host}/platform/libs/widget//.gitlab-ci.yml@fake.yml@refs/tags/v1.2.0")), "fake.yml"),
        (
            file("gitlab.com/platform/libs/widget//.gitlab-ci.yml@refs/tags/v1.2.0".to_owned()),
            "does not match",
        ),
        (file(format!("{host}/other/proj//.gitlab-ci.yml@refs/tags/v1.2.0")), "does not match"),
        (file("https://evil.test/ci.yml".to_owned()), "does not match"),
        (file(format!("{host}/platform/libs/widget//@refs/tags/v1.2.0")), "Could not extract"),
        (good().without("environment"), "give the job this environment"),
        // GitLab tells `pypi` and `PyPI` apart.
        (good().with("environment", "PyPI"), "environment is `PyPI`"),
        (good().with("pipeline_source", "merge_request_event"), "merge_request_event"),
        (good().gitlab_ref("refs/heads/main"), "start the run from a tag"),
        (good().with("ref_path", "").with("sha", ""), "claims are empty"),
        (good().without("project_path"), "Missing claim 'project_path'"),
        (good().without("ci_config_ref_uri"), "Missing claim 'ci_config_ref_uri'"),
        (good().without("jti"), "Missing claim 'jti'"),
    ] {
        let words = scene.refuses(&scene.gitlab.token(&claims, AUDIENCE), "invalid-publisher");
        assert!(words.starts_with("valid token, but no corresponding publisher ("), "{words}");
        assert!(words.contains(expected), "{expected}: {words}");
    }
    let at_commit = format!("{host}/platform/libs/widget//.gitlab-ci.yml@{COMMIT}");
    scene.accepts(&scene.gitlab.token(&file(at_commit), AUDIENCE));
    scene.accepts(&scene.gitlab.token(&good().with("namespace_id", 72).with("sub", "anything"), AUDIENCE));
}

#[test]
fn what_one_issuer_says_is_worth_nothing_for_another() {
    let scene = scene();
    // Each with a good signature of its own issuer, and the claims of the other.
    for (issuer, claims) in [
        (&scene.gitlab, Claims::github()),
        (&scene.github, scene.gitlab_claims()),
        (&scene.jenkins, Claims::github()),
    ] {
        scene.refuses(&issuer.token(&claims, AUDIENCE), "invalid-publisher");
    }
}

#[test]
fn a_claim_of_a_generic_issuer_matches_its_own_json_type_only() {
    let scene = scene();
    let good = || {
        Claims::empty().with("build_job", "release/legacy").with("build_number", 7).with("protected", true)
    };
    for claims in [
        good().with("build_job", "release/legacy2"),
        good().with("build_job", "Release/legacy"),
        good().with("build_job", json!(["release/legacy"])),
        good().without("build_job"),
        good().with("build_number", "7"),
        good().with("build_number", 7.5),
        good().with("protected", "true"),
        good().with("protected", 1),
        good().with("protected", Value::Null),
    ] {
        scene.refuses(&scene.jenkins.token(&claims, AUDIENCE), "invalid-publisher");
    }
    scene.accepts(&scene.jenkins.token(&good(), AUDIENCE));
}

#[test]
fn nothing_hostile_in_a_claim_comes_back_as_it_was() {
    let scene = scene();
    for text in ["<script>alert(1)</script>", "\u{1b}]0;x\u{7}", "a\r\nSet-Cookie: x=y", "{{7*7}}\u{2028}"] {
        for claim in ["repository", "environment", "ref", "event_name", "workflow_ref", "repository_owner"] {
            let jwt = scene.github.token(&Claims::github().with(claim, text), AUDIENCE);
            let answer = scene.gateway.mint(&jwt);
            check_refused(&answer, 422, "invalid-publisher");
        }
    }
    let long = scene.github.token(&Claims::github().with("environment", "x".repeat(9_000)), AUDIENCE);
    scene.refuses(&long, "invalid-publisher");
    // Nor from the name of a member: no more than is needed to recognise it, which is not enough to use it.
    let jwt = scene.github.token(&Claims::github(), AUDIENCE);
    let body = format!("{{\"{jwt}\":1,\"{jwt}\":2}}");
    let answer = scene.gateway.ask(&Raw::new(&format!("POST {MINT}")).body(body));
    let words = check_refused(&answer, 422, "invalid-payload");
    let signature = jwt.rsplit('.').next().unwrap();
    assert!(words.len() < 300 && !words.contains(&signature[..20]), "{words}");
    scene.accepts(&jwt);
}

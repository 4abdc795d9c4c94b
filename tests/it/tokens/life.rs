//! How a token begins and how it ends: its time, its signature, its key, its revocation, and the rules of the day.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Scene, UV_ACCEPT, scene, upload, wheel};
use crate::exchange::check_refused;
use crate::support::claims::Claims;
use crate::support::gateway::{AUDIENCE, Gateway};
use crate::support::issuer::now;
use crate::support::package::Package;
use crate::support::raw::{Answer, Raw, basic};

fn with_token(token: &str) -> Raw {
    upload(&wheel()).header("Authorization", basic("__token__", token))
}

fn burn(gateway: &Gateway, token: &str) -> Answer {
    gateway.ask(&Raw::new("POST /_/oidc/burn-token").json(&json!({ "token": token })))
}

#[track_caller]
fn check_dead(scene: &Scene, what: &str, token: &str, why: &str) {
    let answer = scene.refuses(what, &with_token(token), 403);
    for part in [why, "exchange a new identity token"] {
        assert!(answer.reason.contains(part), "{what}: {answer}");
    }
}

/// The parts of a token, and the key that signed it, to make others with.
struct Forge {
    header: Value,
    payload: Value,
    key: Vec<u8>,
}

impl Forge {
    fn of(scene: &Scene) -> Self {
        let mut parts = scene.token.strip_prefix("indexgate-").unwrap().split('.');
        let mut part = || {
            let bytes = URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap();
            serde_json::from_slice(&bytes).unwrap()
        };
        let (header, mut payload): (Value, Value) = (part(), part());
        payload["jti"] = json!("forged");
        let key = fs::read_to_string(scene.gateway.directory().join("state/token.key")).unwrap();
        Self { header, payload, key: URL_SAFE_NO_PAD.decode(key.trim_end()).unwrap() }
    }

    fn sign(&self, header: &Value, payload: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(payload));
        let algorithm = match header["alg"].as_str() {
            Some("HS512") => Algorithm::HS512,
            Some("HS384") => Algorithm::HS384,
            _ => Algorithm::HS256,
        };
        let key = EncodingKey::from_secret(&self.key);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
        format!("indexgate-{message}.{signature}")
    }
}

/// `object` with one member changed, or taken out.
fn changed(object: &Value, member: &str, value: Option<Value>) -> Value {
    let mut object = object.clone();
    match value {
        Some(value) => object[member] = value,
        None => _ = object.as_object_mut().unwrap().remove(member),
    }
    object
}

#[test]
fn a_token_ends_at_its_time_even_if_it_is_signed_with_the_right_key() {
    let scene = scene();
    let forge = Forge::of(scene);
    scene.publishes("signed again", &with_token(&forge.sign(&forge.header, &forge.payload)));
    let with =
        |member: &str, value: Value| forge.sign(&forge.header, &changed(&forge.payload, member, Some(value)));
    scene.publishes("its last seconds", &with_token(&with("exp", json!(now() + 5))));
    for (what, token) in [
        ("this second", with("exp", json!(now()))),
        ("in the leeway of identity tokens", with("exp", json!(now() - 1))),
        ("long ago", with("exp", json!(0))),
        ("made tomorrow", with("iat", json!(now() + 86_400))),
    ] {
        check_dead(scene, what, &token, "has expired");
    }
}

#[test]
fn a_token_that_says_anything_else_is_none_even_if_it_is_signed_with_the_right_key() {
    let scene = scene();
    let forge = Forge::of(scene);
    for (member, value) in [
        ("iss", Some(json!("https://other.gateway"))),
        ("iss", None),
        ("aud", Some(json!("https://other.gateway"))),
        ("aud", Some(json!(AUDIENCE))),
        ("aud", None),
        ("exp", None),
        ("exp", Some(json!("9999999999"))),
        ("iat", None),
        ("jti", None),
        ("issuer", None),
        ("facts", None),
        ("claims", Some(json!([]))),
        ("projects", Some(json!(["victim"]))),
    ] {
        let what = format!("payload: {member} {value:?}");
        let token = forge.sign(&forge.header, &changed(&forge.payload, member, value));
        check_dead(scene, &what, &token, "not valid for this gateway");
    }
    for (member, value) in [
        ("alg", Some(json!("HS384"))),
        ("alg", Some(json!("HS512"))),
        ("alg", Some(json!("none"))),
        ("alg", None),
        ("typ", Some(json!("JWT"))),
        ("typ", None),
        ("kid", Some(json!("other"))),
        ("kid", None),
    ] {
        let what = format!("header: {member} {value:?}");
        let token = forge.sign(&changed(&forge.header, member, value), &forge.payload);
        check_dead(scene, &what, &token, "not valid for this gateway");
    }
    // An issuer that no publisher trusts, whatever the claims say.
    for issuer in ["gitlab", "no such issuer"] {
        let token = forge.sign(&forge.header, &changed(&forge.payload, "issuer", Some(json!(issuer))));
        scene.refuses("another issuer", &with_token(&token), 403);
    }
    let none = changed(&forge.header, "alg", Some(json!("none")));
    let unsigned = forge.sign(&none, &forge.payload);
    let unsigned = format!("{}.", unsigned.rsplit_once('.').unwrap().0);
    check_dead(scene, "unsigned", &unsigned, "not valid for this gateway");
}

#[test]
fn a_token_with_anything_changed_is_none() {
    let scene = scene();
    let token = scene.token.as_str();
    let (start, end) = ("indexgate-".len(), token.len());
    let mut spoiled: Vec<String> = (start..end)
        .step_by(37)
        .chain(end - 4..end)
        .map(|at| {
            let mut bytes = token.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        })
        .collect();
    spoiled.extend((1..5).map(|less| token[..end - less].to_owned()));
    let body = &token[start..];
    spoiled.extend([
        format!("{token}A"),
        format!("{token}="),
        format!("{token} x"),
        format!("{token}.x"),
        token.repeat(2),
        format!("indexgate-{token}"),
        format!("indexgate-{}", body.replace('.', "")),
        "indexgate-".to_owned(),
        "indexgate-x".to_owned(),
        "indexgate-eyJ.eyJ.x".to_owned(),
    ]);
    for token in spoiled {
        check_dead(scene, &token, &token, "not valid for this gateway");
        // Not anonymous either, and not classic.
        let read = Raw::new("GET /root/prod/").header("Authorization", format!("Bearer {token}"));
        scene.refuses(&token, &read, 403);
    }
}

#[test]
fn a_token_of_one_gateway_is_none_at_another_even_with_the_same_key() {
    let (one, other) = (scene(), Scene::set(|setup| setup));
    check_dead(&other, "another gateway's", &one.token, "not valid for this gateway");
    let key = one.gateway.directory().join("state/token.key");
    let sharing = Scene::set(|setup| setup.also(&format!("[tokens]\nkey_file = \"{}\"", key.display())));
    sharing.publishes("its own", &with_token(&sharing.token));
    check_dead(&sharing, "another gateway's", &one.token, "not valid for this gateway");
}

#[test]
fn a_token_given_back_is_dead_for_good_and_others_are_not() {
    let mut scene = Scene::set(|setup| setup);
    let kept = scene.gateway.upload_token(&scene.github, &Claims::github());
    let token = scene.token.clone();
    scene.publishes("before", &with_token(&token));
    for _ in 0..2 {
        let answer = burn(&scene.gateway, &token);
        assert_eq!((answer.status, answer.json()), (202, json!({"message": "Accepted"})), "{answer}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    check_dead(&scene, "given back", &token, "was revoked");
    scene.publishes("another of the same job", &with_token(&kept));
    let line = &scene.gateway.audit_about("\"burn\"")[0];
    assert_eq!((&line["decision"], &line["claims"]["repository"]), (&json!("allow"), &json!("acme/widget")));

    scene.gateway = scene.gateway.restart(|config| config);
    check_dead(&scene, "after a crash", &token, "was revoked");
    scene.publishes("another, after a crash", &with_token(&kept));
}

#[test]
fn giving_back_what_is_no_token_is_accepted_and_does_nothing() {
    let scene = scene();
    let forge = Forge::of(scene);
    let expired = forge.sign(&forge.header, &changed(&forge.payload, "exp", Some(json!(now() - 10))));
    let jwt = scene.github.token(&Claims::github(), AUDIENCE);
    for junk in ["", "x", "pypi-AgEIcHlwaS5vcmc", "indexgate-", &format!("{}x", scene.token), &expired, &jwt]
    {
        let answer = burn(&scene.gateway, junk);
        assert_eq!((answer.status, answer.json()), (202, json!({"message": "Accepted"})), "{answer}");
    }
    // What says whose it is elsewhere is not looked at.
    let beside =
        Raw::new("POST /_/oidc/burn-token").header("Authorization", format!("Bearer {}", scene.token));
    assert_eq!(scene.gateway.ask(&beside.json(&json!({"token": "x"}))).status, 202);
    scene.publishes("still", &with_token(&scene.token));
    assert_eq!(scene.gateway.mint(&jwt).status, 200, "the identity token is not used up");
    for body in ["", "[]", "{}", "{\"token\":7}", "{\"token\":null}", "token=x"] {
        let answer = scene.gateway.ask(&Raw::new("POST /_/oidc/burn-token").body(body));
        check_refused(&answer, 422, "invalid-payload");
    }
}

#[test]
fn a_key_that_is_replaced_is_believed_until_it_is_dropped() {
    let mut scene = Scene::set(|setup| setup);
    let first = scene.token.clone();
    let listen = |tokens: &str| {
        let tokens = tokens.to_owned();
        move |config: String| config.split("[tokens]").next().unwrap().to_owned() + &tokens
    };
    let both = "[tokens]\nkey_file = \"new.key\"\nprevious_key_files = [\"token.key\"]\n";
    scene.gateway = scene.gateway.restart(listen(both));
    scene.publishes("by the previous key", &with_token(&first));
    let second = scene.gateway.upload_token(&scene.github, &Claims::github());
    scene.publishes("by the new key", &with_token(&second));
    let kid = |token: &str| token["indexgate-".len()..].split('.').next().unwrap().to_owned();
    assert_ne!(kid(&first), kid(&second), "each names its key");

    scene.gateway = scene.gateway.restart(listen("[tokens]\nkey_file = \"new.key\"\n"));
    check_dead(&scene, "by the dropped key", &first, "not valid for this gateway");
    scene.publishes("by the new key", &with_token(&second));
}

#[test]
fn the_rules_of_the_day_decide_and_not_those_of_the_exchange() {
    let mut scene = Scene::set(|setup| setup);
    let token = scene.token.clone();
    let gadget = || {
        let request = upload(&Package::wheel("acme-gadget", "1.2.0"));
        request.header("Authorization", basic("__token__", &token))
    };
    scene.refuses("not its project yet", &gadget(), 403);
    let both = "projects = [\"acme-widget\", \"acme-gadget\"]";
    scene.gateway = scene.gateway.restart(|config| config.replacen("projects = [\"acme-widget\"]", both, 1));
    scene.publishes("its project now", &gadget());

    scene.gateway = scene.gateway.restart(|config| config.replacen(both, "projects = [\"acme-gadget\"]", 1));
    scene.refuses("no longer its project", &with_token(&token), 403);
    let environment =
        |config: String| config.replacen("environment = \"pypi\"", "environment = \"release\"", 1);
    scene.gateway = scene.gateway.restart(environment);
    let answer = scene.refuses("no longer its publisher", &gadget(), 403);
    assert!(answer.reason.contains("the rules no longer allow this identity to upload"), "{answer}");
}

#[test]
fn a_token_lives_as_long_as_the_administrator_says() {
    let scene = Scene::set(|setup| setup.also("[tokens]\nlifetime = \"1h\""));
    let answer = scene.gateway.mint(&scene.github.token(&Claims::github(), AUDIENCE)).json();
    let lifetime = answer["expires"].as_u64().unwrap() - now();
    assert!((3595..=3600).contains(&lifetime), "{lifetime} s");
    let payload = Forge::of(&scene).payload;
    assert_eq!(payload["exp"].as_u64().unwrap() - payload["iat"].as_u64().unwrap(), 3600);
}

#[test]
fn without_its_store_the_gateway_publishes_nothing_and_everything_else_goes_on() {
    let scene = Scene::set(|setup| setup);
    let store = Connection::open(scene.gateway.directory().join("state/indexgate.db")).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    store.execute_batch("ALTER TABLE revoked_token RENAME TO away").unwrap();
    let (answer, arrived) = scene.send(&with_token(&scene.token).header("Accept", UV_ACCEPT));
    assert_eq!((answer.status, arrived.len()), (503, 0), "{answer}");
    assert!(
        answer.header("retry-after").is_some() && answer.reason.contains("store is unavailable"),
        "{answer}"
    );
    assert!(!answer.to_string().contains("revoked_token"), "the inside is for the log: {answer}");
    for request in [
        Raw::new("GET /root/prod/").header("Authorization", basic("__token__", &scene.token)),
        Raw::new("GET /root/prod/"),
        upload(&wheel()).header("Authorization", basic("bob", "pw")),
    ] {
        let (answer, arrived) = scene.send(&request);
        assert_eq!((answer.status, arrived.len()), (200, 1), "{answer}");
    }
    store.execute_batch("ALTER TABLE away RENAME TO revoked_token").unwrap();
    scene.publishes("mended", &with_token(&scene.token));
}

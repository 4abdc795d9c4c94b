use super::*;
use crate::oidc::testing::{FakeIssuer, Fault, P256, RSA, jwks};

async fn issuer() -> FakeIssuer {
    FakeIssuer::start(&[RSA.jwk("k1")]).await
}

#[track_caller]
fn failed(outcome: &Result<KeySet, FetchError>, expected: &str) {
    let text = outcome.as_ref().map_or_else(ToString::to_string, |_| "keys".to_owned());
    assert!(text.contains(expected), "{text}");
}

/// Metadata of an issuer, with its keys at another address.
fn keys_at(issuer: &FakeIssuer, keys_url: &str) -> Fault {
    Fault::Body(serde_json::json!({"issuer": issuer.url, "jwks_uri": keys_url}).to_string())
}

#[tokio::test]
async fn keys_are_found_through_the_metadata() {
    let issuer = issuer().await;
    assert!(fetch_keys(&issuer.discovery()).await.unwrap().contains("k1"));
    assert_eq!(issuer.requests(), (1, 1));
}

#[tokio::test]
async fn a_bad_answer_is_an_error_and_a_redirect_is_not_followed() {
    let elsewhere = FakeIssuer::start(&[P256.jwk("evil")]).await;
    let redirects = [
        Fault::Redirect(format!("{}/keys", elsewhere.url)),
        Fault::Redirect("http://127.0.0.1:1/".into()),
        Fault::Redirect("file:///etc/passwd".into()),
        Fault::Redirect("/keys".into()),
    ];
    let faults = [
        (Fault::Status(500), "instead of 200"),
        (Fault::Status(404), "instead of 200"),
        (Fault::Status(204), "instead of 200"),
        (Fault::Compressed, "encoding"),
        (Fault::Body("x".repeat(10 * 1024 * 1024)), "256 KiB"),
        (Fault::Body("<html>".into()), ""),
        (Fault::Body("{}".into()), ""),
        (Fault::Body(String::new()), ""),
    ];
    for (fault, text) in redirects.map(|fault| (fault, "instead of 200")).into_iter().chain(faults) {
        let issuer = issuer().await;
        issuer.break_metadata(fault.clone());
        failed(&fetch_keys(&issuer.discovery()).await, text);
        issuer.break_metadata(Fault::None);
        issuer.break_keys(fault);
        failed(&fetch_keys(&issuer.discovery()).await, text);
    }
    assert_eq!(elsewhere.requests(), (0, 0));
}

#[tokio::test]
async fn a_key_set_of_too_many_keys_or_none_is_an_error() {
    let issuer = issuer().await;
    issuer.publish(&[]);
    failed(&fetch_keys(&issuer.discovery()).await, "no usable key");
    issuer.break_keys(Fault::Body(jwks(&vec![serde_json::json!({}); 101])));
    failed(&fetch_keys(&issuer.discovery()).await, "101 keys");
}

#[tokio::test]
async fn the_metadata_must_be_of_the_very_issuer() {
    let issuer = issuer().await;
    for other in ["https://evil.test".to_owned(), format!("{}/", issuer.url), issuer.url.to_uppercase()] {
        let keys = format!("{}/keys", issuer.url);
        let body = serde_json::json!({"issuer": other, "jwks_uri": keys}).to_string();
        issuer.break_metadata(Fault::Body(body));
        failed(&fetch_keys(&issuer.discovery()).await, "belongs to issuer");
    }
    assert_eq!(issuer.requests().1, 0);
}

#[tokio::test]
async fn keys_are_looked_for_on_the_issuer_s_own_host_and_port_only() {
    let issuer = issuer().await;
    let elsewhere = FakeIssuer::start(&[P256.jwk("evil")]).await;
    let plain = issuer.url.replace("https", "http");
    let named = issuer.url.replace("https://", "https://me@");
    for url in [
        format!("{}/keys", elsewhere.url),
        format!("{plain}/keys"),
        format!("{named}/keys"),
        "https://[::ffff:127.0.0.1]/keys".into(),
        "https://169.254.169.254/keys".into(),
        "https://127.0.0.1/keys".into(),
        "file:///etc/passwd".into(),
        "/keys".into(),
        String::new(),
    ] {
        issuer.break_metadata(keys_at(&issuer, &url));
        failed(&fetch_keys(&issuer.discovery()).await, "jwks_uri");
    }
    assert_eq!((issuer.requests().1, elsewhere.requests()), (0, (0, 0)));
}

#[tokio::test]
async fn keys_may_be_on_a_configured_host() {
    let issuer = issuer().await;
    issuer.break_metadata(keys_at(&issuer, "https://keys.test/keys"));
    let jwks_hosts = vec!["Keys.test".to_owned()];
    let discovery = Discovery { jwks_hosts, ..issuer.discovery() };
    let url = read_metadata(keys_at_text(&issuer).as_bytes(), &discovery).unwrap();
    assert_eq!(url.as_str(), "https://keys.test/keys");
    let other_port = keys_at_text(&issuer).replace("keys.test", "keys.test:8443");
    assert!(read_metadata(other_port.as_bytes(), &discovery).is_err());
}

fn keys_at_text(issuer: &FakeIssuer) -> String {
    match keys_at(issuer, "https://keys.test/keys") {
        Fault::Body(text) => text,
        _ => String::new(),
    }
}

#[tokio::test]
async fn an_issuer_without_a_trusted_certificate_is_not_asked() {
    let other_name = FakeIssuer::with_certificate_for(&[RSA.jwk("k1")], "other.test").await;
    failed(&fetch_keys(&other_name.discovery()).await, "certificate");
    let (issuer, stranger) = (issuer().await, issuer().await);
    let discovery = Discovery { roots: stranger.roots, ..issuer.discovery() };
    failed(&fetch_keys(&discovery).await, "certificate");
    assert_eq!((issuer.requests(), other_name.requests()), ((0, 0), (0, 0)));
}

#[tokio::test]
async fn a_closed_port_is_an_error() {
    let issuer = issuer().await;
    let discovery = Discovery { issuer: "https://127.0.0.1:1".parse().unwrap(), ..issuer.discovery() };
    failed(&fetch_keys(&discovery).await, "cannot connect to 127.0.0.1:1");
}

#[tokio::test]
async fn a_slow_issuer_is_given_up() {
    let issuer = issuer().await;
    issuer.break_keys(Fault::Slow(Duration::from_secs(60)));
    let begin = std::time::Instant::now();
    failed(&fetch_keys(&issuer.discovery()).await, "within 3s");
    assert!(begin.elapsed() < Duration::from_millis(3900));
}

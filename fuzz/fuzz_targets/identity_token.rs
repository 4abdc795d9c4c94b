//! Whatever a stranger sends as an identity token is read, refused, and never a panic. The first byte chooses
//! whether the rest is the token itself or its header and claims, so that the fuzzer gets past the base64.
#![no_main]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use indexgate::clock::Timestamp;
use indexgate::oidc::{Algorithm, Expected, KeySet, Unverified, verify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    if choice % 2 == 0 {
        read(&String::from_utf8_lossy(rest));
        let _ = KeySet::parse(rest);
    } else {
        let mut parts = rest.splitn(2, |byte| *byte == 0).map(|part| URL_SAFE_NO_PAD.encode(part));
        let (header, payload) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        read(&format!("{header}.{payload}.AAAA"));
    }
});

/// No key is known, so nothing may ever be verified.
fn read(jwt: &str) {
    let Ok(token) = Unverified::read(jwt) else { return };
    let expected = Expected {
        issuer_url: token.issuer(),
        audience: "a",
        audience_list_allowed: true,
        algorithms: &[Algorithm::Rs256, Algorithm::Es256],
        max_lifetime: Duration::from_secs(3600),
    };
    assert!(verify(&token, &KeySet::default(), &expected, Timestamp(1_000)).is_err());
}

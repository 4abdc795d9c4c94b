//! The name under which the use of an identity token is remembered, so that it is used once.

use aws_lc_rs::digest::{Context, SHA256};

/// SHA-256 over the issuer and the token's id, or over the issuer and what was signed if it has no id.
///
/// Each part is preceded by its length, so that no issuer can choose an id that names another issuer's token, and
/// a tag tells the two kinds apart. The signature is left out: an ECDSA signature `(r, s)` has a twin `(r, -s)`
/// that verifies as well, so a hash of the whole text would let a token be used twice.
pub(super) fn replay_key(issuer: &str, token_id: Option<&str>, signing_input: &str) -> [u8; 32] {
    let (kind, id) = token_id.map_or(("jws", signing_input), |jti| ("jti", jti));
    let mut hash = Context::new(&SHA256);
    for part in [kind, issuer, id] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut key = [0; 32];
    key.copy_from_slice(hash.finish().as_ref());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_id_from_the_same_issuer_is_one_use_and_anything_else_is_another() {
        let used = replay_key("https://a", Some("1"), "h.p");
        assert_eq!(replay_key("https://a", Some("1"), "other.text"), used);
        for other in [
            replay_key("https://a", Some("2"), "h.p"),
            replay_key("https://b", Some("1"), "h.p"),
            replay_key("https://a1", Some(""), "h.p"),
            replay_key("https://", Some("a1"), "h.p"),
            replay_key("https://a", None, "1"),
            replay_key("https://a", None, "h.p"),
        ] {
            assert_ne!(other, used);
        }
    }

    #[test]
    fn a_token_without_an_id_is_known_by_what_was_signed() {
        assert_eq!(replay_key("https://a", None, "h.p"), replay_key("https://a", None, "h.p"));
        assert_ne!(replay_key("https://a", None, "h.p"), replay_key("https://a", None, "h.q"));
    }
}

//! GitHub Actions behind an issuer of one's own: a GitHub Enterprise Server, an enterprise with a unique issuer, and
//! GitHub with data residency. They say what github.com says.
//! Issuers: <https://docs.github.com/en/enterprise-server@latest/actions/reference/security/oidc>,
//! <https://docs.github.com/en/enterprise-cloud@latest/actions/reference/security/oidc>.

use super::Preset;
use super::github::ACTIONS;

pub(super) static PRESET: Preset = Preset {
    name: "github-enterprise-server",
    public_issuer: None,
    issuer_forms: &[
        "*/_services/token",
        // An enterprise's slug. Without it, this is the issuer that all of github.com shares.
        "token.actions.githubusercontent.com/*",
        "token.actions.*.ghe.com",
    ],
    ..ACTIONS
};

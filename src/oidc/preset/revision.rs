//! What a run is about: a ref, a commit, mostly both.

use super::ClaimProblem;
use super::claims::Claims;

/// The ref and the commit of a token. Either may be empty; a preset says whether it may.
pub(super) struct Revision<'a> {
    ref_claim: &'static str,
    /// The full ref, such as `refs/tags/v1`.
    pub reference: &'a str,
    /// The commit, in hex.
    pub commit: &'a str,
}

impl<'a> Revision<'a> {
    /// Reads the full ref from the claim of that name, and the commit from `sha`.
    pub(super) fn read(claims: &Claims<'a>, ref_claim: &'static str) -> Result<Self, ClaimProblem> {
        let (reference, commit) = (claims.text(ref_claim)?, claims.text("sha")?);
        if !reference.is_empty() && !reference.starts_with("refs/") {
            return Err(ClaimProblem::Unfit { claim: ref_claim, why: "it does not begin with `refs/`" });
        }
        if !commit.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ClaimProblem::Unfit { claim: "sha", why: "it is not a commit" });
        }
        Ok(Self { ref_claim, reference, commit })
    }

    /// The name of the tag or the branch, if it is one, under the rule key for it. `ref_type` must agree: a branch
    /// may be called `refs/tags/v1`. Pull and merge requests are of type `branch`, too, but are none.
    pub(super) fn short(&self, claims: &Claims<'_>) -> Result<Option<(&'static str, &'a str)>, ClaimProblem> {
        let tag = self.reference.strip_prefix("refs/tags/");
        let branch = self.reference.strip_prefix("refs/heads/");
        let kind = if tag.is_some() { "tag" } else { "branch" };
        match claims.optional_text("ref_type")? {
            None => Ok(None),
            Some(stated) if stated == kind || self.reference.is_empty() => {
                Ok(tag.or(branch).map(|short| (kind, short)))
            }
            Some(stated) => Err(self.disagrees("ref_type", stated)),
        }
    }

    /// The problem that a claim does not agree with the full ref.
    pub(super) fn disagrees(&self, claim: &'static str, got: &str) -> ClaimProblem {
        let stated = self.reference.to_owned();
        ClaimProblem::Disagrees { claim, got: got.to_owned(), other: self.ref_claim, stated }
    }
}

/// A full ref, where a provider states nothing beside it.
pub(super) fn full_ref<'a>(
    claims: &Claims<'a>,
    claim: &'static str,
) -> Result<Option<&'a str>, ClaimProblem> {
    match claims.optional_text(claim)? {
        Some(reference) if !reference.starts_with("refs/") => {
            Err(ClaimProblem::Unfit { claim, why: "it does not begin with `refs/`" })
        }
        reference => Ok(reference),
    }
}

/// The tag and the branch that a full ref names: one of them, or neither.
pub(super) fn tag_and_branch(reference: Option<&str>) -> (Option<&str>, Option<&str>) {
    let behind = |start| reference.and_then(|reference| reference.strip_prefix(start));
    (behind("refs/tags/"), behind("refs/heads/"))
}

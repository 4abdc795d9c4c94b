//! Which file describes a run. Issuers join project, file and ref into one text; a file name and a ref may each
//! contain the `@` between them. So nothing is searched for: what must stand in front and behind is taken away,
//! and what is left is the file.

use super::ClaimProblem;
use super::claims::strip_prefix_folded;

/// A claim of the form `{place}{file}@{revision}`.
pub(super) struct FileClaim<'a, 'p> {
    /// The claim.
    pub claim: &'static str,
    /// What it says.
    pub text: &'a str,
    /// What must stand in front of the file. Case folds: it is made of names that fold.
    pub place: &'p str,
    /// What may stand behind the file: the ref of the token, else its commit. Empty ones do not count.
    pub revisions: [&'p str; 2],
}

impl<'a, 'p> FileClaim<'a, 'p> {
    /// The file, if the claim is of that form.
    pub(super) fn file(&self) -> Result<&'a str, ClaimProblem> {
        let rest = strip_prefix_folded(self.text, self.place).ok_or_else(|| self.elsewhere())?;
        let mut files =
            self.revisions().filter_map(|revision| rest.strip_suffix(revision)?.strip_suffix('@'));
        let file = files.next().ok_or_else(|| self.elsewhere())?;
        if is_yaml(file) { Ok(file) } else { Err(ClaimProblem::NoFile(self.claim)) }
    }

    fn revisions(&self) -> impl Iterator<Item = &'p str> {
        self.revisions.into_iter().filter(|revision| !revision.is_empty())
    }

    fn elsewhere(&self) -> ClaimProblem {
        let expected = self.revisions().map(|revision| format!("{}<file>@{revision}", self.place)).collect();
        ClaimProblem::Elsewhere { claim: self.claim, expected, got: self.text.to_owned() }
    }
}

/// Whether a path of printable ASCII ends in a YAML file whose name is more than the extension.
pub(super) fn is_yaml(path: &str) -> bool {
    let stem = path.strip_suffix(".yml").or_else(|| path.strip_suffix(".yaml"));
    let plain = path.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    plain && !path.starts_with('/') && stem.is_some_and(|stem| !stem.is_empty() && !stem.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, revisions: [&str; 2], expected: Option<&str>) {
        let claim = FileClaim { claim: "workflow_ref", text, place: "a/b/.github/workflows/", revisions };
        assert_eq!(claim.file().ok(), expected, "{text}");
    }

    #[test]
    fn the_file_is_what_is_left_between_place_and_revision() {
        let here = |rest: &str| format!("a/b/.github/workflows/{rest}");
        let main = ["refs/heads/main", "abc123"];
        check(&here("release.yml@refs/heads/main"), main, Some("release.yml"));
        check(&here("release.yml@abc123"), main, Some("release.yml"));
        check(&here("a.yml@b.yml@refs/heads/main"), main, Some("a.yml@b.yml"));
        check("A/B/.github/workflows/r.yaml@abc123", main, Some("r.yaml"));
        for bad in
            ["release.yml", "release.yml@", "release.yml@@", ".yml@abc123", ".yaml@abc123", "@abc123", ""]
        {
            check(&here(bad), main, None);
        }
        for bad in
            ["release.yml@refs/heads/main2", "release.yml@refs/heads/evil", "r.yml @abc123", "r.yml/@abc123"]
        {
            check(&here(bad), main, None);
        }
        for bad in
            ["", "/.github/workflows/@abc123", "a/b2/.github/workflows/r.yml@abc123", "release.yml@abc123"]
        {
            check(bad, main, None);
        }
    }

    #[test]
    fn a_ref_that_looks_like_a_file_or_has_an_at_sign_is_still_a_ref() {
        let cases = [
            "refs/heads/x.yml@y",
            "refs/heads/release.yml",
            "refs/tags/a@b",
            "refs/heads/r.yml@refs/heads/main",
        ];
        for reference in cases {
            let text = format!("a/b/.github/workflows/release.yml@{reference}");
            check(&text, [reference, "abc123"], Some("release.yml"));
        }
    }

    #[test]
    fn an_empty_revision_matches_nothing() {
        check("a/b/.github/workflows/release.yml@", ["", ""], None);
        check("a/b/.github/workflows/release.yml@abc", ["", "abc"], Some("release.yml"));
    }
}

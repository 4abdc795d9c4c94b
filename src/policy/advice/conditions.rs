//! The usual mismatches, and what each of them mostly comes from.

use super::toml::{accepting, quoted, replacing};
use super::{Check, Remedy, Trial};
use crate::names::printable;
use crate::policy::{Expected, Source, TextPattern};

/// What to change so that the condition of this check is met.
pub(super) fn remedy(check: &Check, trial: &Trial) -> Remedy {
    let found = check.found.as_deref();
    let remedy = match (&*check.condition.key, found) {
        ("workflow", Some(found)) => workflow(check, found),
        ("job_workflow", found) => job_workflow(check, found),
        ("environment", found) => environment(check, found, Ci::of(trial)),
        ("tag", None) => no_tag(check, Ci::of(trial)),
        ("tag", Some(_)) => Remedy::job(format!("push a tag of that form{}", tag_example(check))),
        ("branch", None) => no_branch(check),
        ("branch" | "ref", Some(found)) => branch(check, found),
        ("event", Some(found)) => event(check, found, Ci::of(trial)),
        ("protected", _) => protected(check, Ci::of(trial)),
        ("repository" | "project_path", Some(found)) => path(check, found, trial),
        ("repository_id" | "project_id", Some(found)) => project_id(check, found, trial),
        ("repository_owner_id" | "namespace_id", Some(found)) => owner_id(check, found, trial),
        (_, Some(found)) => other(check, found),
        (key, None) => {
            Remedy::rule(format!("remove `{key}` from the publisher if these tokens never say it"))
                .with_job(wanted(check).map(|value| format!("run the job so that {key} is `{value}`")))
        }
    };
    if check.implied && !matches!(&*check.condition.key, "event" | "job_workflow") {
        return remedy.or("change `require` of the [[issuer]], which asks this of every publisher");
    }
    remedy
}

/// Whose words to use for a change in the job, told by the claims that the conditions stand for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ci {
    GitHub,
    GitLab,
    Other,
}

impl Ci {
    fn of(trial: &Trial) -> Self {
        let claims = || trial.checks.iter().map(|check| &*check.condition.claim);
        if claims().any(|claim| matches!(claim, "workflow_ref" | "job_workflow_ref")) {
            Self::GitHub
        } else if claims().any(|claim| matches!(claim, "ci_config_ref_uri" | "pipeline_source")) {
            Self::GitLab
        } else {
            Self::Other
        }
    }
}

fn workflow(check: &Check, found: &str) -> Remedy {
    let remedy = match wanted(check) {
        Some(wanted) if stem(&wanted).is_some() && stem(&wanted) == stem(found) => {
            Remedy::job(format!("rename the file to `{wanted}`"))
                .noting("`.yml` and `.yaml` are different files")
        }
        Some(wanted) if wanted.eq_ignore_ascii_case(found) => {
            Remedy::job(format!("rename the file to `{wanted}`"))
                .noting("file names are compared with upper and lower case")
        }
        Some(wanted) => Remedy::job(format!("publish from the workflow file `{wanted}`")),
        None => Remedy::job("publish from such a workflow file"),
    };
    remedy.with_rule(in_the_publisher(accepting(&check.condition, found)))
}

fn stem(file: &str) -> Option<&str> {
    file.strip_suffix(".yml").or_else(|| file.strip_suffix(".yaml"))
}

fn job_workflow(check: &Check, found: Option<&str>) -> Remedy {
    match (found, &check.condition.expected) {
        (Some(found), Expected::Absent) => {
            Remedy::job("publish from a job of the workflow file that starts the run")
                .noting("the job ran in a reusable workflow")
                .or(format!(
                    "write job_workflow = {} in the publisher, if that file is trusted",
                    quoted(found)
                ))
        }
        (Some(found), _) => Remedy::job("publish from that reusable workflow")
            .with_rule(in_the_publisher(accepting(&check.condition, found))),
        (None, _) => {
            let call = wanted(check).map(|file| format!(", as in `uses: {file}@...`")).unwrap_or_default();
            Remedy::job(format!("publish from a job that calls the reusable workflow{call}"))
                .noting("the job ran in the workflow file that started the run")
                .or("remove `job_workflow` from the publisher")
        }
    }
}

fn environment(check: &Check, found: Option<&str>, ci: Ci) -> Remedy {
    let line = wanted(check).map(|name| format!(": `environment: {name}`")).unwrap_or_default();
    let Some(found) = found else {
        return Remedy::job(format!("give the job this environment{line}"))
            .or("remove `environment` from the publisher, so that any job of the workflow may publish");
    };
    let remedy = Remedy::job(format!("write this environment in the job{line}"))
        .with_rule(in_the_publisher(accepting(&check.condition, found)));
    match wanted(check) {
        Some(wanted) if wanted.eq_ignore_ascii_case(found) => {
            let who = if ci == Ci::GitLab { "GitLab tells" } else { "environments here tell" };
            remedy.noting(format!("{who} upper and lower case apart"))
        }
        _ => remedy,
    }
}

fn no_tag(check: &Check, ci: Ci) -> Remedy {
    let trigger = match ci {
        Ci::GitHub => " (`on: push: tags:` or `on: release:` in the workflow)",
        Ci::GitLab => " (`rules: - if: $CI_COMMIT_TAG` in the job)",
        Ci::Other => "",
    };
    let remedy = Remedy::job(format!("start the run from a tag{}{trigger}", tag_example(check)));
    let branch = check.run_ref.as_deref().and_then(|reference| reference.strip_prefix("refs/heads/"));
    match (branch, &check.run_ref) {
        (Some(branch), _) => {
            remedy.noting(format!("the run is of branch `{}`", printable(branch))).or(format!(
                "write branch = {} instead of `tag` in the publisher, so that every push to it may publish",
                quoted(branch)
            ))
        }
        (None, Some(reference)) => remedy.noting(format!("the run is of `{}`", printable(reference))),
        (None, None) => remedy,
    }
}

fn tag_example(check: &Check) -> String {
    match &check.condition.expected {
        Expected::VersionTag(template) => {
            let example = template.tag_of(&pep440_rs::Version::new([1, 2, 0]));
            format!(", as in `{example}` for version 1.2.0")
        }
        Expected::Text(..) | Expected::Json(_) | Expected::Absent => String::new(),
    }
}

fn no_branch(check: &Check) -> Remedy {
    let remedy = Remedy::job("start the run from this branch");
    let tag = check.run_ref.as_deref().and_then(|reference| reference.strip_prefix("refs/tags/"));
    match (tag, &check.run_ref) {
        (Some(tag), _) => remedy
            .noting(format!("the run is of tag `{}`", printable(tag)))
            .or("write tag = \"v{version}\" instead of `branch` in the publisher"),
        (None, Some(reference)) => remedy.noting(format!("the run is of `{}`", printable(reference))),
        (None, None) => remedy,
    }
}

fn branch(check: &Check, found: &str) -> Remedy {
    let from = wanted(check).map_or_else(|| "such a ref".to_owned(), |name| format!("`{name}`"));
    Remedy::job(format!("start the run from {from}"))
        .with_rule(in_the_publisher(accepting(&check.condition, found)))
}

fn event(check: &Check, found: &str, ci: Ci) -> Remedy {
    let how = match ci {
        Ci::GitHub => "start the run by one of these events (`on:` in the workflow)",
        Ci::GitLab => "start the pipeline in one of these ways",
        Ci::Other => "start the run in one of these ways",
    };
    let line = if check.implied {
        Some(format!("write events = [{}] in the publisher, in place of the usual ones", quoted(found)))
    } else {
        let line = accepting(&check.condition, found);
        in_the_publisher(
            line.map(|line| line.replacen("event =", "events =", 1).replace("`event`", "`events`")),
        )
    };
    let rule = line.map(|line| format!("{line}, if no stranger can cause `{}`", printable(found)));
    Remedy::job(how).with_rule(rule)
}

fn protected(check: &Check, ci: Ci) -> Remedy {
    let how = match ci {
        Ci::GitHub => "protect the branch or tag (a ruleset in the repository's settings)",
        Ci::GitLab => "protect the branch or tag (Settings, Repository)",
        Ci::Other => "protect the branch or tag",
    };
    let remedy = Remedy::job(how).or("remove protected = true from the publisher");
    if check.found.is_some() {
        remedy.noting("anybody who can push may move this branch or tag")
    } else {
        remedy
    }
}

/// Another repository, or the same one under a new name: its id tells.
fn path(check: &Check, found: &str, trial: &Trial) -> Remedy {
    let id = ["repository_id", "project_id"].iter().find_map(|key| trial.check(key));
    if id.is_some_and(|id| id.met) {
        return Remedy::default().noting("the id is the right one, so it was renamed or moved").with_rule(
            in_the_publisher(replacing(&check.condition, found).map(|line| format!("write {line}"))),
        );
    }
    let from = wanted(check).map_or_else(|| "such a one".to_owned(), |name| format!("`{name}`"));
    let remedy = Remedy::job(format!("publish from {from}"));
    let what = if check.condition.key == "repository" { "repository" } else { "project" };
    remedy.noting(format!("this is another {what}")).or(format!(
        "add a publisher with {} = {}, if it is trusted",
        check.condition.key,
        quoted(found)
    ))
}

fn project_id(check: &Check, found: &str, trial: &Trial) -> Remedy {
    if !same_path(trial) {
        return Remedy::default().noting("this is another repository");
    }
    let line = replacing(&check.condition, found);
    Remedy::default().noting("the repository was created anew or is another one").with_rule(
        line.map(|line| format!("write {line} in the publisher, if it was you who created it anew")),
    )
}

fn same_path(trial: &Trial) -> bool {
    ["repository", "project_path"].iter().find_map(|key| trial.check(key)).is_some_and(|path| path.met)
}

/// Names of accounts are given away again. Whether that happened or the account was only made anew, people must say.
fn owner_id(check: &Check, found: &str, trial: &Trial) -> Remedy {
    let same_name = same_path(trial);
    let (note, condition) = match (same_name, &*check.condition.key) {
        (true, "namespace_id") => ("the project lies in another group", "if you moved it yourself"),
        (true, _) => (
            "the owner's name belongs to another account now",
            "if you made that account yourself; if not, somebody has taken the name, and the rule is right",
        ),
        (false, _) => ("this is another owner", "if it is trusted"),
    };
    let line = if same_name { replacing(&check.condition, found) } else { None };
    let line = line.map(|line| format!("write {line}")).or_else(|| accepting(&check.condition, found));
    Remedy::default().noting(note).with_rule(line.map(|line| format!("{line} in the publisher, {condition}")))
}

fn other(check: &Check, found: &str) -> Remedy {
    let key = &check.condition.key;
    let job = wanted(check).map(|value| format!("run the job so that {key} is `{value}`"));
    let same_text = |pattern: &str| pattern.trim_matches('"') == found.trim_matches('"');
    let remedy =
        Remedy::default().with_job(job).with_rule(in_the_publisher(accepting(&check.condition, found)));
    match wanted(check) {
        Some(wanted) if check.condition.source == Source::Claim && same_text(&wanted) => Remedy {
            job: None,
            ..remedy.noting("a text in quotes and a number or boolean without are different values")
        },
        _ => remedy,
    }
}

/// The one value that is expected, if there is just one.
fn wanted(check: &Check) -> Option<String> {
    match &check.condition.expected {
        Expected::Text(patterns, _) => match patterns.as_slice() {
            [TextPattern::Exact(text)] => Some(printable(text)),
            _ => None,
        },
        Expected::Json(patterns) => match patterns.as_slice() {
            [pattern] => Some(pattern.to_string().trim_matches('`').to_owned()),
            _ => None,
        },
        Expected::VersionTag(_) | Expected::Absent => None,
    }
}

fn in_the_publisher(line: Option<String>) -> Option<String> {
    line.map(|line| format!("{line} in the publisher"))
}

impl Remedy {
    fn with_job(mut self, change: Option<String>) -> Self {
        self.job = change;
        self
    }

    fn with_rule(mut self, change: Option<String>) -> Self {
        self.rule = change;
        self
    }
}

//! `release.yml` here and `release.yaml` there.

use std::collections::HashMap;

use super::Lint;
use crate::policy::{Condition, Expected, Publisher, TextPattern};

/// Publishers of one repository that name one workflow file with both extensions: one of them never matches.
pub(super) fn both_extensions(publishers: &[Publisher]) -> Vec<(&Publisher, Lint)> {
    let mut seen: HashMap<(&str, &str), (&str, &Publisher)> = HashMap::new();
    let mut found = Vec::new();
    for publisher in publishers {
        for (repository, file) in repositories(publisher).flat_map(|r| files(publisher).map(move |f| (r, f)))
        {
            let Some(stem) = file.strip_suffix(".yml").or_else(|| file.strip_suffix(".yaml")) else {
                continue;
            };
            let (other, by) = *seen.entry((repository, stem)).or_insert((file, publisher));
            if other != file && by.name != publisher.name {
                found.push((
                    publisher,
                    Lint::new(
                        format!(
                            "it names `{file}` of `{repository}`, and publisher `{}` names `{other}`",
                            by.name
                        ),
                        "`.yml` and `.yaml` are different files: write the name that the file has",
                    ),
                ));
            }
        }
    }
    found
}

fn repositories(publisher: &Publisher) -> impl Iterator<Item = &str> {
    texts(publisher, |condition| matches!(&*condition.key, "repository" | "project_path"))
}

fn files(publisher: &Publisher) -> impl Iterator<Item = &str> {
    texts(publisher, |condition| condition.key == "workflow")
}

fn texts(publisher: &Publisher, wanted: fn(&Condition) -> bool) -> impl Iterator<Item = &str> {
    let conditions = publisher.conditions.iter().filter(move |condition| wanted(condition));
    conditions
        .flat_map(|condition| match &condition.expected {
            Expected::Text(patterns, _) => patterns.as_slice(),
            Expected::Json(_) | Expected::VersionTag(_) | Expected::Absent => &[],
        })
        .filter_map(|pattern| match pattern {
            TextPattern::Exact(text) => Some(text.as_str()),
            TextPattern::Glob(_) => None,
        })
}

//! Publishers that get in each other's way: one that adds nothing to another, and two that grant one project.

use std::collections::{HashMap, HashSet};

use super::{Lint, covers};
use crate::names::{IndexName, PublisherName};
use crate::policy::{ProjectPattern, Projects, Publisher, Restriction};

/// Each pair once, at the publisher that stands later or adds nothing.
pub(super) fn overlapping<'p>(
    publishers: &'p [Publisher],
    restrictions: &[Restriction],
) -> Vec<(&'p Publisher, Lint)> {
    let by_project = ByProject::of(publishers);
    let mut told: HashSet<(&PublisherName, &PublisherName)> = HashSet::new();
    let mut found = Vec::new();
    for publisher in publishers {
        for (other, project) in by_project.beside(publisher) {
            let pair = (&other.name).min(&publisher.name);
            if !told.insert((pair, (&other.name).max(&publisher.name))) {
                continue;
            }
            // Both lie in one slice, in the order of the files.
            let in_order = std::ptr::from_ref(publisher) < std::ptr::from_ref(other);
            let (earlier, later) = if in_order { (publisher, other) } else { (other, publisher) };
            found.extend(pair_lint(earlier, later, project, restrictions));
        }
    }
    found
}

fn pair_lint<'p>(
    earlier: &'p Publisher,
    later: &'p Publisher,
    project: &ProjectPattern,
    restrictions: &[Restriction],
) -> Option<(&'p Publisher, Lint)> {
    let shadowed = |by: &Publisher| {
        Lint::new(
            format!("it adds nothing: publisher `{}` grants all that it grants", by.name),
            format!("remove it, or narrow `{}`", by.name),
        )
    };
    if covers::publisher(earlier, later) {
        return Some((later, shadowed(earlier)));
    }
    if covers::publisher(later, earlier) {
        return Some((earlier, shadowed(later)));
    }
    if said_to_be_meant(earlier, later, project, restrictions) {
        return None;
    }
    let (first, second, index) = (&earlier.name, &later.name, &later.index);
    Some((
        later,
        Lint::new(
            format!("it grants `{project}` of index `{index}`, and so does publisher `{first}`"),
            format!(
                "if that is meant, say so: [[project]] with index = \"{index}\", name = {}, only = [\"{first}\", \"{second}\"]",
                quoted(project)
            ),
        ),
    ))
}

fn quoted(project: &ProjectPattern) -> String {
    match project {
        ProjectPattern::Exact(name) => format!("\"{name}\""),
        ProjectPattern::Glob(glob) => format!("{{ glob = \"{}\" }}", glob.as_str()),
    }
}

/// A `[[project]]` whose `only` decides which of the two it is, or names both.
fn said_to_be_meant(
    a: &Publisher,
    b: &Publisher,
    project: &ProjectPattern,
    restrictions: &[Restriction],
) -> bool {
    restrictions.iter().any(|restriction| {
        restriction.index == b.index
            && restriction.only.as_ref().is_some_and(|only| only.contains(&a.name) || only.contains(&b.name))
            && covers::project(&restriction.projects, project)
    })
}

/// Publishers by what they grant.
struct ByProject<'p> {
    exact: HashMap<(&'p IndexName, &'p str), Vec<&'p Publisher>>,
    globs: HashMap<&'p IndexName, Vec<(&'p ProjectPattern, &'p Publisher)>>,
}

impl<'p> ByProject<'p> {
    fn of(publishers: &'p [Publisher]) -> Self {
        let mut by = Self { exact: HashMap::new(), globs: HashMap::new() };
        for (publisher, pattern) in
            publishers.iter().flat_map(|p| patterns(p).map(move |pattern| (p, pattern)))
        {
            match pattern {
                ProjectPattern::Exact(name) => {
                    by.exact.entry((&publisher.index, name.as_str())).or_default().push(publisher);
                }
                ProjectPattern::Glob(_) => {
                    by.globs.entry(&publisher.index).or_default().push((pattern, publisher));
                }
            }
        }
        by
    }

    /// Other publishers that grant something that this one grants, each with that.
    fn beside<'a>(
        &'a self,
        publisher: &'p Publisher,
    ) -> impl Iterator<Item = (&'p Publisher, &'p ProjectPattern)> + 'a {
        patterns(publisher).flat_map(move |pattern| {
            let exact = match pattern {
                ProjectPattern::Exact(name) => self.exact.get(&(&publisher.index, name.as_str())),
                ProjectPattern::Glob(_) => None,
            };
            let globs = self.globs.get(&publisher.index).into_iter().flatten();
            let globs = globs.filter(|(glob, _)| covers::project(glob, pattern)).map(|(_, other)| *other);
            let others = exact.into_iter().flatten().copied().chain(globs);
            others.filter(|other| other.name != publisher.name).map(move |other| (other, pattern))
        })
    }
}

/// Publishers of any project are meant to overlap.
fn patterns(publisher: &Publisher) -> impl Iterator<Item = &ProjectPattern> {
    match &publisher.projects {
        Projects::Any => [].iter(),
        Projects::These(patterns) => patterns.iter(),
    }
}

//! Whether one rule lets in everything that another one does. Where that is hard to say, the answer is no.

use crate::policy::{
    Compare, Condition, Expected, Glob, JsonPattern, Mode, ProjectPattern, Projects, Publisher, TextPattern,
    Versions,
};

/// Whether `wide` grants everything that `narrow` grants.
pub(super) fn publisher(wide: &Publisher, narrow: &Publisher) -> bool {
    let dates = match (wide.expires, narrow.expires) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => wide >= narrow,
    };
    let implied_by_narrow =
        |condition: &Condition| narrow.all_conditions().any(|narrower| self::condition(condition, narrower));
    wide.issuer == narrow.issuer
        && wide.index == narrow.index
        && wide.mode == Mode::Enforce
        && dates
        && (wide.versions == Versions::Any || wide.versions == narrow.versions)
        && projects(&wide.projects, &narrow.projects)
        && wide.all_conditions().all(implied_by_narrow)
}

/// Whether every project of `narrow` is one of `wide`.
fn projects(wide: &Projects, narrow: &Projects) -> bool {
    match (wide, narrow) {
        (Projects::Any, _) => true,
        (Projects::These(_), Projects::Any) => false,
        (Projects::These(wide), Projects::These(narrow)) => {
            narrow.iter().all(|narrow| wide.iter().any(|wide| project(wide, narrow)))
        }
    }
}

/// Whether every project of one pattern is one of the other.
pub(super) fn project(wide: &ProjectPattern, narrow: &ProjectPattern) -> bool {
    match (wide, narrow) {
        (wide, ProjectPattern::Exact(name)) => wide.matches(name),
        (ProjectPattern::Glob(wide), ProjectPattern::Glob(narrow)) => glob(wide, narrow, Compare::Exact),
        (ProjectPattern::Exact(_), ProjectPattern::Glob(_)) => false,
    }
}

fn condition(wide: &Condition, narrow: &Condition) -> bool {
    if wide.key != narrow.key || wide.source != narrow.source {
        return false;
    }
    match (&wide.expected, &narrow.expected) {
        (Expected::Text(wide, compare), Expected::Text(narrow, _)) => {
            narrow.iter().all(|narrow| wide.iter().any(|wide| text(wide, narrow, *compare)))
        }
        (Expected::Json(wide), Expected::Json(narrow)) => {
            narrow.iter().all(|narrow| wide.iter().any(|wide| json(wide, narrow)))
        }
        (Expected::VersionTag(wide), Expected::VersionTag(narrow)) => wide == narrow,
        (Expected::Absent, Expected::Absent) => true,
        (Expected::Text(..) | Expected::Json(_) | Expected::VersionTag(_) | Expected::Absent, _) => false,
    }
}

fn text(wide: &TextPattern, narrow: &TextPattern, compare: Compare) -> bool {
    match (wide, narrow) {
        (wide, TextPattern::Exact(text)) => wide.matches(text, compare),
        (TextPattern::Glob(wide), TextPattern::Glob(narrow)) => glob(wide, narrow, compare),
        (TextPattern::Exact(_), TextPattern::Glob(_)) => false,
    }
}

fn json(wide: &JsonPattern, narrow: &JsonPattern) -> bool {
    match (wide, narrow) {
        (JsonPattern::Text(wide), JsonPattern::Text(narrow)) => text(wide, narrow, Compare::Exact),
        (wide, narrow) => wide == narrow,
    }
}

/// A glob covers another one that it matches as a text, as long as only `*` meets `*`.
fn glob(wide: &Glob, narrow: &Glob, compare: Compare) -> bool {
    let simple = |glob: &Glob| !glob.as_str().contains("**") && !glob.as_str().contains('?');
    wide == narrow || (simple(wide) && simple(narrow) && wide.matches(narrow.as_str(), compare))
}

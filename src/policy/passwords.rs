//! What classic credentials may do with a project.

use super::{Passwords, Rules};
use crate::clock::Timestamp;
use crate::names::{IndexName, ProjectName};

impl Rules {
    /// What a classic credential may do with a project of an index now. Restrictions only ever add to what the index
    /// itself says.
    pub fn passwords(
        &self,
        index: &IndexName,
        of_index: Passwords,
        project: &ProjectName,
        now: Timestamp,
    ) -> Passwords {
        let of_project = self.restrictions_on(index, project).filter_map(|restriction| restriction.passwords);
        of_project.map(|rule| rule.at(now)).chain([of_index]).max().unwrap_or(of_index)
    }

    /// Whether what a classic credential may do on an index depends on the project.
    pub fn passwords_depend_on_project(&self, index: &IndexName) -> bool {
        self.restrictions()
            .iter()
            .any(|restriction| restriction.index == *index && restriction.passwords.is_some())
    }

    /// Whether some project of an index is closed to classic credentials now.
    pub fn closed_to_passwords(&self, index: &IndexName, of_index: Passwords, now: Timestamp) -> bool {
        let of_projects = self.restrictions().iter().filter(|restriction| restriction.index == *index);
        let rules = of_projects.filter_map(|restriction| restriction.passwords);
        rules.map(|rule| rule.at(now)).chain([of_index]).any(|passwords| passwords == Passwords::Refuse)
    }
}

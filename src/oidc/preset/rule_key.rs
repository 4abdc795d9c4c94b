//! The keys of a `[[publisher]]`, as presets declare them.

use crate::policy::Compare;

/// One key of a `[[publisher]]`.
#[derive(Clone, Copy, Debug)]
pub struct RuleKey {
    /// The TOML key, and the name of the fact it is compared with: `workflow`.
    pub key: &'static str,
    /// The claim it stands for, as messages name it: `workflow_ref`.
    pub claim: &'static str,
    /// How the two are compared.
    pub compare: Compare,
    /// What may be written.
    pub form: Form,
    /// Whether it says *whose* identity it is (repository, organisation, their ids) rather than what it is doing.
    pub identifies: bool,
}

/// What an administrator may write for a rule key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A text or a glob.
    Text,
    /// A text that is written out.
    WrittenOut,
    /// A decimal number.
    Number,
    /// A UUID: `f0a10872-21a3-4373-940a-06233d826661`.
    Uuid,
    /// A UUID in braces, as Bitbucket writes them.
    BracedUuid,
}

impl Form {
    /// Whether a value has this form.
    pub fn fits(self, text: &str) -> bool {
        match self {
            Self::Text => true,
            Self::WrittenOut => !text.contains('*'),
            Self::Number => is_decimal(text),
            Self::Uuid => is_uuid(text),
            Self::BracedUuid => {
                text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).is_some_and(is_uuid)
            }
        }
    }

    /// What a value of this form is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::WrittenOut => "plain text",
            Self::Number => "decimal number",
            Self::Uuid => "UUID in lower case",
            Self::BracedUuid => "UUID in lower case and in braces",
        }
    }
}

/// A key whose value names who somebody is: it is written out, and compared byte for byte.
pub(super) const fn name(key: &'static str, claim: &'static str) -> RuleKey {
    RuleKey { key, claim, compare: Compare::Exact, form: Form::WrittenOut, identifies: true }
}

/// As [`name`], for names that the provider itself does not tell apart by case.
pub(super) const fn fold_case_name(key: &'static str, claim: &'static str) -> RuleKey {
    RuleKey { compare: Compare::FoldCase, ..name(key, claim) }
}

/// A numeric id.
pub(super) const fn id(key: &'static str, claim: &'static str) -> RuleKey {
    RuleKey { compare: Compare::Id, form: Form::Number, ..name(key, claim) }
}

/// An id that is a UUID.
pub(super) const fn uuid(key: &'static str, claim: &'static str) -> RuleKey {
    RuleKey { form: Form::Uuid, ..name(key, claim) }
}

/// An id that is a UUID in braces.
pub(super) const fn braced_uuid(key: &'static str, claim: &'static str) -> RuleKey {
    RuleKey { form: Form::BracedUuid, ..name(key, claim) }
}

/// A key about what somebody is doing, compared byte for byte.
pub(super) const fn exact(key: &'static str, claim: &'static str) -> RuleKey {
    RuleKey { form: Form::Text, identifies: false, ..name(key, claim) }
}

/// As [`exact`], but upper and lower case are the same.
pub(super) const fn fold_case(key: &'static str, claim: &'static str) -> RuleKey {
    RuleKey { compare: Compare::FoldCase, ..exact(key, claim) }
}

impl RuleKey {
    /// Says that the key tells whose identity it is.
    pub(super) const fn identifying(self) -> Self {
        Self { identifies: true, ..self }
    }

    /// Says that the key tells what somebody is doing.
    pub(super) const fn circumstance(self) -> Self {
        Self { identifies: false, ..self }
    }
}

/// Whether a text is a plain decimal number: no sign, no leading zero.
pub(super) fn is_decimal(text: &str) -> bool {
    let digits = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0'))
}

/// Whether a text is a UUID as providers write them: in lower case, with its hyphens.
fn is_uuid(text: &str) -> bool {
    let hyphens = [8, 13, 18, 23];
    let fits = |(n, b): (usize, u8)| {
        if hyphens.contains(&n) { b == b'-' } else { b.is_ascii_digit() || (b'a'..=b'f').contains(&b) }
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_written_in_one_way() {
        let uuid = "f0a10872-21a3-4373-940a-06233d826661";
        assert!(Form::Uuid.fits(uuid));
        assert!(Form::BracedUuid.fits(&format!("{{{uuid}}}")));
        assert!(!Form::BracedUuid.fits(uuid));
        for bad in [
            "",
            "f0a10872",
            "F0A10872-21A3-4373-940A-06233D826661",
            "f0a1087221a34373940a06233d826661",
            "f0a10872-21a3-4373-940a-06233d82666g",
            "f0a10872-21a3-4373-940a-06233d8266611",
            "f0a10872_21a3_4373_940a_06233d826661",
            "{f0a10872-21a3-4373-940a-06233d826661",
            "*",
        ] {
            assert!(!Form::Uuid.fits(bad), "{bad}");
            assert!(!Form::BracedUuid.fits(bad), "{bad}");
        }
    }
}

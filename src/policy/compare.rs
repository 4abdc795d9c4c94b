//! How the value of a claim is compared with what a rule asks for.

/// The kind of comparison a claim needs. The preset of an issuer knows it for each of its claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Byte for byte: refs, files, everything that nobody folds.
    Exact,
    /// Without regard to ASCII case. Nothing but ASCII folds: U+212A is not a `k`.
    FoldCase,
    /// Decimal text, byte for byte; a rule may write it as a number.
    Id,
}

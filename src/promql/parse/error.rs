//! Why a text is not an expression, and how much text may be one.
//! In: a place and a reason. Out: [`ParseError`], worded as Prometheus words it: `1:5: parse error: …`.
//! Never: quotes more of the text than Prometheus does.
//! Start at [`ParseError`].

use super::super::ast::Place;

/// Why a text is not an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The text is to be mended.
    #[error("{0}")]
    Syntax(String),
    /// The text is beyond a limit of ours and is to be split.
    #[error("expression too large: {0} is limited to {1}")]
    TooLarge(&'static str, usize),
}

pub(super) type Result<T> = std::result::Result<T, ParseError>;

/// The longest expression, in bytes: some ten times the longest rule that is known to us.
pub const EXPR_MAX_BYTES: usize = 64 * 1024;
/// How deep expressions may nest, so that recursion over the tree fits every stack.
pub(super) const NESTING_MAX: usize = 64;
/// How many operators and modifiers an expression may hold: a chain of them is a tree as deep as the chain is long, and
/// must fit the stack of a worker thread even without optimisation. The longest known rules have some forty.
pub(super) const OPERATORS_MAX: usize = 256;

pub(super) fn error_at(place: Place, text: impl std::fmt::Display) -> ParseError {
    ParseError::Syntax(format!("{place}: parse error: {text}"))
}

pub(super) fn refuse<T>(place: Place, text: impl std::fmt::Display) -> Result<T> {
    Err(error_at(place, text))
}

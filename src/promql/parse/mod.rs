//! Text to tree: Prometheus' language, read as Prometheus reads it.
//! In: an expression's text. Out: a checked [`super::ast::Expr`], or [`ParseError`] in Prometheus' words, with its place.
//! Never: reads on after the first error; nests deeper than a stack holds.
//! Start at [`parse`]: `lex` cuts the text into tokens, `parser` builds the tree, `check` looks at the types.

mod check;
mod duration;
mod error;
mod features;
mod lex;
mod literal;
mod operators;
mod parser;
mod selector;
mod token;

#[cfg(test)]
mod tests;

pub use error::ParseError;
pub use features::Features;
pub use literal::number_value;
pub use parser::{parse, parse_selector, parse_with};

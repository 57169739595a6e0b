//! Files that people write: YAML with places, read key by key, and everything that is wrong with them.
//! In: the text of a file. Out: values with the line and column they stand at; [`Mistakes`], each with what to do about it.
//! Never: opens a file: whoever reads a configuration does.
//! Start at [`Fields`].

mod fields;
mod mistakes;
mod tree;

pub use fields::{At, Fields, is_secret_key, nearest, size};
pub use mistakes::{Mistake, Mistakes, NamedFile, Notes, Warning};
pub use tree::{Key, Node, Position, Value, parse};

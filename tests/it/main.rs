//! The one integration binary: a module per subject.

mod remote_write;

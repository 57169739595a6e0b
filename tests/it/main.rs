//! The one integration binary: a module per subject. Start at the module of your subject.

mod tidy;

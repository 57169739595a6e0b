//! (to be written)
mod yaml;

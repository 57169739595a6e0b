//! Doors over HTTP: requests in, answers out.
//! In: requests that the router has let through. Out: responses, and commands for the rooms below.
//! Never: decides; it asks, and tells what it heard.
//! Start at [`write`] for samples.

pub mod write;

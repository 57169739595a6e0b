//! Notifiers against fake receivers: bodies to the letter, answers told apart, nothing leaked, nothing injected.
//! In: notifications. Out: what arrives at a receiver, and what is said about failures.
//! Never: uses the network beyond loopback.
//! Start at [`webhook_body_is_alertmanagers_with_the_incident`].

mod channels;
mod deliver;
mod links;
mod make;

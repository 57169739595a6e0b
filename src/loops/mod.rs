//! Loops: each wires one kind of work to the clock and to its neighbours, at most 150 lines.
//! In: the built rooms. Out: running tasks.
//! Never: holds policy; decisions live on floors 0 to 3.
//! Start at [`deliver::Deliver`].

pub mod deliver;
//! The loops: evaluate, decide, deliver, retain; each moves work from one room to the next.
//! In: handles that `app` gives. Out: work done until they are told to stop.
//! Never: decides by itself, or knows HTTP.
//! Start at [`decide::Decide`].

mod commit;
pub mod decide;
pub mod hands;
pub mod retain;

#[cfg(test)]
mod tests;

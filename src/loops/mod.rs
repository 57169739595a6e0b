//! The loops: evaluate, decide, deliver, retain, gap, silence; each moves work from one room to the next.
//! In: handles that `app` gives. Out: work done until they are stopped.
//! Never: decides by itself (decisions live on floors 0 to 3), or knows HTTP.
//! Start at [`decide::Decide`].

mod clock_watch;
mod commit;
pub mod decide;
pub mod deliver;
pub mod evaluate;
pub mod gap;
pub mod ports;
pub mod retain;
pub mod silence;
mod standing;

#[cfg(test)]
mod evaluate_tests;
#[cfg(test)]
mod tests;

//! Loops: each wires one kind of work to the clock and to its neighbours, at most 150 lines.
//! In: the built rooms. Out: running tasks.
//! Never: holds policy; decisions live on floors 0 to 3.
//! Start at [`deliver::Deliver`].

pub mod deliver;

//! The simulator (filled in below).
//! In: a seed. Out: a history that keeps every promise, or the seed that does not.
//! Never: uses real time.
//! Start at the test.

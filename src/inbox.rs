//! The bounded door into the engine (to be written).

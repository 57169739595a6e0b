"""The monitoring stack as plain processes, and the checks of it. `examples/run-local` starts it."""

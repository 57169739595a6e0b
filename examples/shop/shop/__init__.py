"""A small instrumented application: users, sessions, memories; PostgreSQL and Redis behind it."""

"""Methods from outside: found by name, or read from a user's own Python files."""

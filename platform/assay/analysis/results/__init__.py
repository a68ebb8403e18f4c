"""A study as trained: its plan and records, read once, and followed while they grow."""

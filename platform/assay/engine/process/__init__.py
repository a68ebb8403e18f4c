"""The training itself, in a process of its own that sees nothing but what it may."""

"""A finished study with its storage, for a first look."""

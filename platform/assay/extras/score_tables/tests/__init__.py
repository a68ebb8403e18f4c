"""The extra reads foreign tables of scores as it should."""

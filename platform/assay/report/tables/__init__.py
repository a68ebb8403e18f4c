"""The tables of a report, as sections of a page and as numbers."""

"""A study as a page: tables, notes and figures, in every format."""

"""Verdicts on anybody's scores: tables of them read, and judged as a study's are."""

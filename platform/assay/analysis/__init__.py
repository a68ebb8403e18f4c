"""Analysis of a study's records: summaries, comparisons, uncertainty, the costs of labels."""

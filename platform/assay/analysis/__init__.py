"""What the records of a study say: summaries, comparisons, uncertainty, the costs of labels."""

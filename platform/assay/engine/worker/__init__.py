"""What happens where trials train: one batch, its trials and stages, and the log that they leave."""

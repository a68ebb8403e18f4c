"""Searches: what Optuna proposes next, and which batches that makes."""

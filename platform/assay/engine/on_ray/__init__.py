"""Batches of trials on Ray: Tune hands them out, Train gives a trial several workers."""

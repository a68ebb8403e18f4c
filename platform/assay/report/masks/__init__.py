"""Probe images with their masks: the grid of the dashboard, notebooks and files, and sheets of pictures."""

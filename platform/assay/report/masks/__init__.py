"""Probe images with their masks: the grid of the dashboard, notebooks and files, and sheets of pictures.

The browser draws the masks, of the dashboard, of notebooks and of files. The page sends it small heatmaps and
exact counts for each of 256 levels (:mod:`trainables.evaluation.heatmaps`), both as the record has them. So a
threshold is a lookup, and no number depends on the size of a picture.
"""

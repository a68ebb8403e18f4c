"""Evaluation of a trained model: its scores and maps against labels and masks that training never saw.

- ``evaluate``: thresholds by validation, then everything that a record holds of the test images
- ``scorer``, ``model_scorer``: what is asked of a model, wherever it runs
- ``same_scores``: that a model repeats itself
- ``metrics``: every score that a table may show; ``size_only``: one that knows no pixel
- ``heatmaps``, ``stage_maps``, ``overlay``: pictures that are kept, and how they are drawn
- ``latency``, ``resolution``: seconds for an image, and what a method can outline at its size

Torch is loaded by ``model_scorer`` only.
"""

"""Measurements that guard the product: its speed, its memory, its pages and the truth of its verdicts.

Each program says what it measures with ``python -m benchmarks.NAME --help``; ``make bench`` runs the main
ones and ``docs/benchmarks.md`` has their figures. What a decision of the past was measured with is not kept.

* ``calibration/``: how often verdicts and intervals are wrong where the truth is known.
* ``dashboard/``: seconds that a reader waits, and the documentation's pictures of the pages.
* ``gpu/``: what a GPU makes of assay.
* ``scale/``: a study of a million trials, simulated, and one of two thousand for real.
* here: the start, the overhead of a trial, SegDecNet and ``assay predict`` beside plain loops, parts of
  methods beside common ways (``beside``), large plans and reports (``science``), the study of ``assay demo``.
"""

"""Methods for surface-defect segmentation, free of any scheduler: torch, numpy and OpenCV only.

One folder per method (``segdec/``), shared ground beside them: ``contract.py`` (what a method promises),
``data/`` (readers, splits, cache), ``evaluation/`` (every score, one evaluation
loop), ``nn/`` (blocks of networks).
"""

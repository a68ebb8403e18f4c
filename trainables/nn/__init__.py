"""Blocks that several methods share.

- ``layers``: backbones, what reads images and writes maps; ``weights`` (published), ``models`` (files)
- ``trunk``: any frozen network as an ONNX file, and its maps as a stage
- ``training``: the loop over epochs; ``losses``; ``batches``: sampling, augmentation, passes
- ``cam``: maps without masks, their offsets, and baseline maps below them
- ``labels``: of pixels, from masks or maps; the nets that learn from them, CRF, inpainting

A module here knows tensors, plain numbers and the settings that several methods have, never those of one; a
method builds its network from them.
"""

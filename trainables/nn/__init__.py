"""Blocks that several methods share.

- networks: ``resnet``, ``unet``, ``norm``, ``inputs``, ``initialisation``, ``weights``, ``models`` (files)
- training: ``settings``, ``training``, ``sampling``, ``augmentation``, ``passes`` (bounded memory)
- maps without masks: ``cam``, ``maps`` (pooling, cells to pixels), ``recentre``, ``floors``, ``blur``
- from maps to labels: ``pseudo``, ``crf``, ``inpaint`` and ``ssim``
- losses and views that a map guides: ``contrast``, ``crops``

A module here knows tensors, plain numbers and the settings that several methods have, never those of one; a
method builds its network from them.
"""

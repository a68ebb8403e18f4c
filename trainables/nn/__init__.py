"""Blocks that several methods share: backbones, pooling, input layers, weights files, samplers.

A module here knows tensors and plain numbers, never a method's config; a method builds its network from them.
"""

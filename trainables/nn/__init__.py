"""Blocks that several methods share: backbones, pooling, input layers, model and weights files, samplers.

A module here knows tensors, plain numbers and the settings that all methods have, never those of one method;
a method builds its network from them.
"""

"""A package of a third party that adds one thing of each kind to assay, each in a file of its own.

It imports nothing here: designs are loaded with every command, and torch would make each a second slower.
"""

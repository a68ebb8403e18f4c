"""Losses and likenesses that several methods share."""

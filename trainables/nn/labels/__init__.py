"""Pseudo labels: from maps to masks, and the nets that learn from them."""

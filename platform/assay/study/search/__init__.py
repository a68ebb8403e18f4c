"""Searches: the space of a study, its points, and the plan that grows with them."""

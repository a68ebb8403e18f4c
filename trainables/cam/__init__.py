"""Class-activation maps: a classifier on image labels, and where it looks."""

"""Training in a process of its own: it holds no test image, can be ended, and takes nothing with it."""

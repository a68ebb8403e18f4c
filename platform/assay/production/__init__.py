"""From a trained trial to what is used: predictions for files, and models for other programs."""

"""From a study to its plan: every trial, checked and named before anything is trained."""

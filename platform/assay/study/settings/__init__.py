"""Settings of a cell: from the method, a preset, the study and the levels of its factors."""

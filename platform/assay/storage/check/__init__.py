"""What `assay check` and `assay clean` do: every file by its checksum, and what may go."""

"""Functions of `import assay`: plan and run a study, open a storage. The command line uses them too."""

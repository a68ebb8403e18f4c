"""`python -m assay`: the command line, where the console script is not on the path."""

from assay.cli import main

main()

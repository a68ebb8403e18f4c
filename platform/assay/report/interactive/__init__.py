"""The HTML report as a file to explore, and the scripts that draw in it."""

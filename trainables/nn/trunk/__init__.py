"""Any frozen network as a file: what a study says of it, what it computes, and its maps as a stage."""

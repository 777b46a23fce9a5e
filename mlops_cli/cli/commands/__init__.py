"""One folder for each group of the help; in it, one module for each command, named like it."""

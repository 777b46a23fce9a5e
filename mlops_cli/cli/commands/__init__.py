"""One folder per group of the help; one module per command, named like it."""

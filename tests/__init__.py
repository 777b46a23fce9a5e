"""The tests. A package, because an installed dependency ships one of the same name."""

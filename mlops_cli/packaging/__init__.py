"""This installation of mlops: its versions, its wheel, the command that adds packages to it."""

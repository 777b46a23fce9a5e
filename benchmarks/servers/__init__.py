"""The same SavedModel behind other servers. Each file is a program for the environment of its framework."""

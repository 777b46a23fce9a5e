"""The same SavedModel behind other servers: each file is a program for the environment of its own framework."""

"""A simulated AWS on 127.0.0.1. See README.md."""

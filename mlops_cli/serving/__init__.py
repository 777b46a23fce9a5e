"""The local model server: a supervisor that owns the socket, and workers that each serve one model."""

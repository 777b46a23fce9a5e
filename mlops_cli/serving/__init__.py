"""The local model server: a supervisor that owns the socket, and workers that serve one model each."""

"""A rehearsal: the lifecycle of a project on a simulated AWS on this machine, and findings about the real AWS."""

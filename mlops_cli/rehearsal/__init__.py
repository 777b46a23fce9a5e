"""A rehearsal: a project's lifecycle against a simulated AWS on this machine, and its findings about the real one."""

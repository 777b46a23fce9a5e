"""A rehearsal: a project's lifecycle against a simulated AWS on this machine, and what it shows about the real one."""

"""The callers of the simulated AWS, the permissions of each role, and the use of these permissions."""

"""Pipeline executions as runs: start, stop, approve, list, estimate."""

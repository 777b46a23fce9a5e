"""The work of a stage on this machine: jobs and gates as subprocesses."""

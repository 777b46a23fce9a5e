"""The supervisor: it starts, watches and replaces workers, and keeps the files of the deployment."""

"""The supervisor: it starts, watches and replaces workers, and stores the files of the deployment."""

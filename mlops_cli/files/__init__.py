"""Files and folders: atomic writes, digests, archives."""

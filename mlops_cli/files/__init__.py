"""Files and folders: atomic writes, hashes, archives."""

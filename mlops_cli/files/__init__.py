"""Files and folders: replaced as a whole, hashed, packed."""

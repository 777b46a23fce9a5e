"""What a stage depends on: files, packages, settings, and the key made of them."""

"""Policies of resources that the project uses and does not own: what in them would refuse it."""

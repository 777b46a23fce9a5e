"""Check the policies of resources that the project uses but does not own."""

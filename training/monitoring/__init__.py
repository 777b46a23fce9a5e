"""Statistics of the endpoint's requests. The model package has a copy."""

"""Statistics of the endpoint's requests. The model package contains a copy of this folder."""

"""Everything on AWS that mlops made: list it, remove it."""

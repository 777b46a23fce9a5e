"""All resources on AWS that mlops made: list and remove them."""

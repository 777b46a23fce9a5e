"""The compared models. Each module trains one of them and prints its results as JSON."""

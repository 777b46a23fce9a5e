"""The compared models: each module trains one of them and prints its results as JSON."""

"""What is computed from a model's predictions, in numpy; imported only where a command needs it."""

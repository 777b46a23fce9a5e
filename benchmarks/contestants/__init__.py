"""What is trained against what: each module trains one contestant and prints what it found, as JSON."""

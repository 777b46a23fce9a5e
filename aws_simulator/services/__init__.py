"""The simulated services: each module or package with a function `register(simulator)` is a plug-in."""

"""The foundation: models enforced in both directions, IAM on exact resources, nothing outlives the simulator."""

"""The HTTP front: connections, the protocol, the routes, and the way of a request to a worker and back."""

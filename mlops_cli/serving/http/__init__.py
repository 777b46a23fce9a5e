"""The HTTP front: connections, the protocol, the routes, and the exchange of requests with the workers."""

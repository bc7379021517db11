"""The interceptors of both sides of a call: one for servers, one for clients."""

"""The services from outside: real processes, real gRPC, real PostgreSQL."""

"""The embedded stack: real PostgreSQL from a wheel, both services and a trace sink.

It runs the services as anyone else would, by `python -m …` and environment
variables, and knows none of their code.
"""

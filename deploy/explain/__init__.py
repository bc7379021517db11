"""`explain`: what happened to a slip or a call, why, and what to type next.

It asks the running services over gRPC, with a token, as any operator may; and a trace
store, where one is configured. It must not know a database.
"""

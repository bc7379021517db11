"""The demo: a casino's day of rating slips, sent as clients send it, and the books proven.

Knows the stack as any client does: addresses, tokens, and the files it writes.
"""

"""Rehearsals: a fault made on a stack of its own, and the way from alert to next command.

The faults are real: a process that is stopped, replies that are lost, a row that is locked,
a key that was used, a balance that somebody edited. So is everything that is shown of them.
"""

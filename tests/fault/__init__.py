"""The system under every fault we know how to make, and what must hold when the fault is over."""

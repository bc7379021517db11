"""What the image holds beside the services: its probe and the scheduled ledger check.

The image itself is described by the Containerfile. Nothing here may know the embedded stack.
"""

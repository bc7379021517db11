"""The Loyalty service: an append-only ledger of points, balances and tiers."""

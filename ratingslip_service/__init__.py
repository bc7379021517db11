"""The RatingSlip service: a known player's time and average bet at a table."""

"""Both services on one machine, with PostgreSQL and all that shows what they do."""

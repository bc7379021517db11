"""What watches the two services: scraping, recording rules, alerts and dashboards."""

"""Grafana's dashboards as code, built with Grafana's own SDK; the JSON beside is generated.

It knows metrics by their names in Prometheus, and no code of the services.
"""

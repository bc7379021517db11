"""The microservice chassis: what both services share and neither owns.

It knows no casino rule and imports neither service.
"""

"""Tests of the SQL itself, on a real server and as the roles the services use."""

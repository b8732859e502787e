"""Fixtures for every test."""

from postgresql_server import postgresql_server

__all__ = ["postgresql_server"]

"""The open data interface of an enclave: FHIR R4 over its estate, for the Trust's own tools."""

from flipnb.estate.serve.server import serve

__all__ = ["serve"]

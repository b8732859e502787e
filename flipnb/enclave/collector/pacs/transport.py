"""TLS to an archive: both sides show a certificate of authorities that the hospital named; nobody else's counts."""

from __future__ import annotations

import ssl
from pathlib import Path

from flipnb.contracts.problem import FlipError
from flipnb.enclave.collector.configuration import Tls


def client_context(tls: Tls, folder: Path) -> ssl.SSLContext:
    """For connections to an archive. Raises FlipError ``bad-certificate``."""
    return _with_own(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), tls, folder)


def server_context(tls: Tls, folder: Path) -> ssl.SSLContext:
    """For an archive that connects to the collector (C-MOVE): it must show a certificate, too."""
    context = _with_own(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tls, folder)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _with_own(context: ssl.SSLContext, tls: Tls, folder: Path) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(folder / tls.ca)
        context.load_cert_chain(folder / tls.certificate, folder / tls.key)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise FlipError(
            "bad-certificate", f"TLS can't be set up from {tls.ca}, {tls.certificate} and {tls.key}: {error}."
        ) from None
    return context

"""The certificates that connections are checked by."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache


def tls_of(ca_file: str | None) -> ssl.SSLContext:
    """Raises ValueError. Those of the system are read once: it takes as long as thousands of evaluations."""
    if ca_file is None:
        return _of_system(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ValueError(f"ca_file: {ca_file!r} holds no certificates: {error}") from error


@lru_cache(maxsize=4)
def _of_system(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """OpenSSL itself reads the two variables."""
    return ssl.create_default_context()

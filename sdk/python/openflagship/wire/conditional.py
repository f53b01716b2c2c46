"""Conditional requests: whether the caller has the answer already."""

from __future__ import annotations


def is_known(if_none_match: str, *etags: str) -> bool:
    """Whether an `If-None-Match` header names one of the ETags, or any."""
    if not if_none_match:
        return False
    named = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in named or not named.isdisjoint(etags)


def gzip_etag(etag: str) -> str:
    """The strong ETag of the compressed form: it has to differ from that of the plain form."""
    return f'{etag[:-1]}-gzip"'

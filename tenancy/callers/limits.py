"""The rate limits of this process: one set of buckets for addresses and credentials, wherever a request is answered."""

from openflagship.wire.limits import Buckets

from tenancy.process_memory import on_reset

BUCKETS = Buckets()
on_reset(BUCKETS.reset)

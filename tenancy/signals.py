"""The signals of tenancy. Apps above connect to them in `ready()`."""

from django.dispatch import Signal

# No kwargs. A credential was created, revoked or changed, so every process must read them again.
credentials_changed = Signal()
# The kwarg is `environment`. It is new, so the flags of its project need a configuration there.
environment_created = Signal()
# The kwargs are `environment`, locked and saved, and `actor`. Flags without a choice of their own follow it.
exposures_changed = Signal()
# No kwargs. A privacy job is waiting for a worker.
privacy_job_created = Signal()

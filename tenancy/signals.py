"""What tenancy announces to the apps above, which connect to it in `ready()`."""

from django.dispatch import Signal

# kwargs: none. Some credential was made, revoked or changed: every process must look again.
credentials_changed = Signal()
# kwargs: environment. A new environment exists: the flags of its project need a configuration there.
environment_created = Signal()

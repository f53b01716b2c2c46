"""A real PostgreSQL and a real Redis from pip wheels. They run under `var/` for as long as a process needs them.

Nothing here imports Django, so settings and manage.py can use it.
"""

from flagship.embedded.errors import EmbeddedError
from flagship.embedded.layout import celery_broker_url, database_url, redis_url
from flagship.embedded.session import session

__all__ = ["EmbeddedError", "celery_broker_url", "database_url", "redis_url", "session"]

"""Snapshots in object storage, from which SDKs and edges begin while nobody of ours answers.

An object is in the form in which SDKs keep a snapshot: with its signatures and the instant at which it was current.
Each environment has one; it is replaced whole after a change, and when a signing secret was rotated.
"""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import structlog
from django.conf import settings
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from flags.propagation.signing import SIGNING
from flags.propagation.snapshots import Snapshot
from flags.signals import snapshots_waiting
from flags.versions.loading import current_versions, load_environment
from integrations.export.cursors import SNAPSHOTS, LeaseLostError, leased, named, watched
from integrations.models import ExportCursor
from integrations.outside.bucket import Bucket, BucketError
from tenancy.models import Environment

log = structlog.get_logger(__name__)

# A worker's other tasks wait no longer; what is left goes on in the next task.
RUN_SECONDS: Final = 20.0
# Longer than an upload and its repetitions may take.
_LEASE: Final = timedelta(minutes=3)
_NOTE: Final = f"{settings.REDIS_PREFIX}:snapshots-awake"
_NOTE_SECONDS: Final = 10


def ask_to_publish() -> None:
    """Call a worker after a commit, unless one is on its way. Where its message is lost, the schedule calls one."""
    if not settings.SNAPSHOTS_EXPORT_URL:
        return
    try:
        if get_redis_connection("default").set(_NOTE, b"1", nx=True, ex=_NOTE_SECONDS):
            snapshots_waiting.send_robust(sender=Snapshot)
    except RedisError as error:
        log.warning("snapshots_not_asked_for", why=str(error))


def publish_snapshots() -> int:
    """Put each environment's snapshot into the bucket that has none there, or an earlier one. Return how many."""
    if not settings.SNAPSHOTS_EXPORT_URL:
        return 0
    try:
        # What is committed from now on calls again.
        get_redis_connection("default").delete(_NOTE)
    except RedisError as error:
        log.warning("snapshots_note_stays", why=str(error))
    bucket = Bucket(settings.SNAPSHOTS_EXPORT_URL)
    target, until, count = named(SNAPSHOTS, bucket.name), time.monotonic() + RUN_SECONDS, 0
    SIGNING.refresh()
    with watched(SNAPSHOTS, target, BucketError, LeaseLostError):
        for environment_id in _behind(target):
            if time.monotonic() > until:
                break
            count += _publish(bucket, target, environment_id)
    return count


def _behind(target: str) -> Iterator[int]:
    rows = ExportCursor.objects.filter(target=target).values_list("chain", "position", "mark")
    there = {chain: (position, mark) for chain, position, mark in rows}
    for environment_id, version in current_versions().environments.items():
        if there.get(environment_id) != (version, _mark(environment_id)):
            yield environment_id


def _mark(environment_id: int) -> str:
    return ",".join(str(key.generation) for key in SIGNING.keys(environment_id))


def _publish(bucket: Bucket, target: str, environment_id: int) -> bool:
    from openflagship.client.following.configuration import Proof  # noqa: PLC0415 - the client, which no web process needs
    from openflagship.client.snapshots.copies import write_copy  # noqa: PLC0415 - likewise

    with leased(target, environment_id, length=_LEASE, begin=-1) as cursor:
        # Loaded under the lease, so that of two workers none replaces a later snapshot by an earlier one.
        environment = load_environment(environment_id) if cursor is not None else None
        place = Environment.objects.select_related("project__organization").filter(pk=environment_id).first()
        if cursor is None or environment is None or place is None:
            return False
        confirmed_at = time.time()
        snapshot = Snapshot(environment, environment.text().encode())
        proof = Proof(snapshot.body, snapshot.signatures(environment_id))
        about = {"version": str(snapshot.version), "snapshot-etag": snapshot.etag.strip('"')}
        key = f"{place.project.organization.slug}/{place.project.key}/{place.key}.json"
        body = write_copy("", proof, "", confirmed_at)
        etag = bucket.put(key, body, content_type="application/json", about=about)
        cursor.move(snapshot.version, _mark(environment_id))
        log.info("snapshot_published", environment=environment_id, version=snapshot.version, etag=etag)
    return True

"""Health lines about what flags hold: the size of the configuration, values that look personal, splits not kept."""

from contextlib import suppress

from django.core.cache import cache
from redis.exceptions import RedisError

from flags.evaluation.deviations import WARNED_SHARE, deviations
from flags.models import Flag
from flags.propagation.snapshots import LARGE_BYTES, snapshot_of
from flagship.console.health.line import Line
from tenancy.console_kit.formats import counted
from tenancy.models import Environment
from tenancy.privacy.personal_values import personal_variants

_MOST_NAMES = 5
_CACHED_SECONDS = 60


def cautions(environment: Environment) -> list[Line]:
    return [*_size(environment), _personal(environment), _splits(environment)]


def _size(environment: Environment) -> list[Line]:
    snapshot = snapshot_of(environment.pk)
    if snapshot is None:
        return []
    size, most = len(snapshot.body), LARGE_BYTES
    is_large = size > most
    return [
        Line(
            "size",
            "Size of the configuration",
            f"{size / 2**20:,.1f} MB" if size >= 2**20 / 10 else f"{size / 2**10:,.1f} KB",
            f"more than {most / 2**20:g} MB" if is_large else f"{counted(len(snapshot.environment.flags), 'flag')}",
            "warn" if is_large else "good",
            "Each SDK and edge of this environment fetches all of it when it starts, and holds it in memory.",
            "Archive flags that nobody needs, move long lists of users into attributes, and large values into your own "
            "store.",
        )
    ]


def _personal(environment: Environment) -> Line:
    found = _personal_flags(environment)
    return Line(
        "personal",
        "Values that look like personal data",
        counted(len(found), "flag") if found else "none",
        _named(found),
        "warn" if found else "good",
        "Values of variants of active flags in this project that look like an e-mail address, a phone number, a bank "
        "account or a card number. Every service with a key reads them, and the history keeps them.",
        "Take the data out of the flag: serve the key of a record that your service looks up itself.",
    )


def _personal_flags(environment: Environment) -> list[str]:
    """Return the flags with what their values look like, at most a minute old: all values are read for it."""
    name = f"console:personal-data:{environment.project_id}"
    found: list[str] | None = None
    with suppress(RedisError):  # Without the cache, each view reads the values anew.
        found = cache.get(name)
    if found is None:
        flags = Flag.objects.filter(
            project=environment.project_id, is_archived=False, type__in=[Flag.Type.STRING, Flag.Type.JSON]
        )
        rows = flags.order_by("key").values_list("key", "variants")
        looked_at = ((key, personal_variants(variants)) for key, variants in rows)
        found = [f"{key}: {next(iter(kinds.values()))}" for key, kinds in looked_at if kinds]
        with suppress(RedisError):
            cache.set(name, found, _CACHED_SECONDS)
    return found


def _splits(environment: Environment) -> Line:
    found = deviations(environment.pk)
    named = [f"{key}: {share:.0%} off" for key, share in sorted(found.items(), key=lambda each: -each[1])]
    return Line(
        "splits",
        "Flags whose split is not kept",
        counted(len(found), "flag") if found else "none",
        _named(named),
        "warn" if found else "good",
        f"Each night the users of the last 7 days are held against the shares of their flag. A flag is named here if a "
        f"variant has {WARNED_SHARE:.0%} more or fewer users than it should, and chance does not explain it.",
        "Look for a service that evaluates with other ids, asks for one variant's users alone, or loses exposures.",
    )


def _named(found: list[str]) -> str:
    more = [f"{len(found) - _MOST_NAMES:,} more"] if len(found) > _MOST_NAMES else []
    return ", ".join([*found[:_MOST_NAMES], *more])

"""Changes of flags and segments: which apply, and which come too late."""

from __future__ import annotations

from sdk.conformance.documents import flag, gone, in_segment, off, sse
from sdk.conformance.endpoints import Endpoints
from sdk.conformance.registry import Run, case, equal
from sdk.conformance.service import Client

_BEFORE = 100


def _started(run: Run) -> tuple[Endpoints, Client]:
    server = run.server(flag(), in_segment())
    server.flags = {"asked": flag(), "by-segment": {**in_segment(), "key": "by-segment"}}
    server.segments = {"beta": {"key": "beta", "included": ["user-1"]}}
    server.version = _BEFORE
    return server, run.following(server)


def _settled(run: Run, server: Endpoints, client: Client) -> None:
    """Everything said before is read once this is."""
    server.say(sse("flag_updated", flag("last"), _BEFORE + 50))
    run.until(lambda: client.value("last", default="unknown") is True, "the last change is applied")


def _flag_case(words: str, ahead: int, *, is_deletion: bool, is_applied: bool) -> None:
    @case("updates", f"a flag's {words} {'is applied' if is_applied else 'is not applied'}")
    def play(run: Run) -> None:
        server, client = _started(run)
        kind = "flag_archived" if is_deletion else "flag_updated"
        server.say(sse(kind, gone("asked") if is_deletion else off(), _BEFORE + ahead))
        _settled(run, server, client)
        applied = "default" if is_deletion else False
        equal(client.value("asked", default="default"), applied if is_applied else True)


def _segment_case(words: str, ahead: int, *, is_deletion: bool, is_applied: bool) -> None:
    @case("updates", f"a segment's {words} {'is applied' if is_applied else 'is not applied'}")
    def play(run: Run) -> None:
        server, client = _started(run)
        equal(client.value("by-segment"), True)
        changed = gone("beta") if is_deletion else {"key": "beta", "included": []}
        server.say(sse("segment_updated", changed, _BEFORE + ahead))
        _settled(run, server, client)
        equal(client.value("by-segment"), not is_applied)


for _register in (_flag_case, _segment_case):
    for _is_deletion, _words in ((False, "change"), (True, "deletion")):
        _register(f"{_words} under a later version", 1, is_deletion=_is_deletion, is_applied=True)
        _register(f"{_words} under the same version", 0, is_deletion=_is_deletion, is_applied=False)
        _register(f"{_words} under an earlier version", -1, is_deletion=_is_deletion, is_applied=False)


@case("updates", "a new flag is served, and the deletion of an unknown one changes nothing")
def new_flag(run: Run) -> None:
    server, client = _started(run)
    server.say(sse("flag_archived", gone("nobody"), _BEFORE + 1) + sse("flag_updated", flag("new"), _BEFORE + 2))
    run.until(lambda: client.value("new", default=None) is True, "the new flag is served")
    equal(client.value(), True)


@case("updates", "a new segment is asked")
def new_segment(run: Run) -> None:
    server, client = _started(run)
    server.say(sse("flag_updated", {**in_segment("gamma"), "key": "by-gamma"}, _BEFORE + 1))
    run.until(lambda: client.value("by-gamma", default=None) is False, "the flag is served")
    server.say(sse("segment_updated", {"key": "gamma", "included": ["user-1"]}, _BEFORE + 2))
    run.until(lambda: client.value("by-gamma") is True, "the segment is asked")


@case("updates", "a deletion is not undone by an earlier change that comes late")
def late_creation(run: Run) -> None:
    server, client = _started(run)
    server.say(sse("flag_archived", gone("asked"), _BEFORE + 9) + sse("flag_updated", flag(), _BEFORE + 8))
    _settled(run, server, client)
    equal(client.value("asked", default="gone"), "gone")


@case("updates", "a kill ahead of its turn is obeyed, and not undone by the steps before it")
def kill_ahead(run: Run) -> None:
    server, client = _started(run)
    killed = flag(killSwitchVariant="control")
    server.say(sse("kill_switch", killed))
    run.until(lambda: client.value() is False, "the kill is obeyed")
    equal(client.version, _BEFORE)
    server.say(sse("flag_updated", flag(name="before the kill"), _BEFORE + 1))
    run.until(lambda: client.version == _BEFORE + 1, "the step before it is applied")
    equal(client.value(), False)
    server.say(sse("kill_switch", killed, _BEFORE + 2) + sse("kill_switch", flag(), _BEFORE + 3))
    run.until(lambda: client.value() is True, "the release is obeyed")


@case("updates", "a flag that is not understood keeps its last version, and is reported")
def not_understood(run: Run) -> None:
    server, client = _started(run)
    later = flag(rules=[{"id": "r", "priority": 1, "variant": "control", "conditions": [{"operator": "smells_like"}]}])
    server.change(later)
    run.until(lambda: client.version == _BEFORE + 1, "the version is applied")
    equal(client.value(), True)

    def reported() -> bool:
        said = [one.get("notUnderstood", {}).get("flags", []) for one in server.acknowledged()]
        return any("asked" in keys for keys in said)

    run.until(reported, "it is reported in the acknowledgement")

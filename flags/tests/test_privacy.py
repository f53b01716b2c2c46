"""Erasing a person from flags and segments beside other writers: nothing of theirs is lost, and none holds it up."""

import pytest

from audit.actors import system
from flags import privacy, services
from flags.models import FlagConfig, Segment
from flags.privacy import FlagsPlace, SegmentsPlace
from tenancy.errors import Invalid
from tenancy.privacy.people import Found, Person
from tenancy.testing import ALICE

ANN = Person("userId", "ann")
WORKER = system("privacy")


def _targets(*users):
    return [{"variant": "treatment", "userIds": list(users)}]


def _after(monkeypatch, name, act):
    """Another writer comes right after the things that name the person were found."""
    plain = getattr(privacy, name)

    def found(*args):
        rows = list(plain(*args))
        act()
        return rows

    monkeypatch.setattr(privacy, name, found)


@pytest.mark.parametrize("is_archived", [False, True])
def test_erase__flag_that_was_changed_meanwhile__keeps_the_change(
    environment, make_flag, editor, monkeypatch, is_archived
):
    make_flag("a", targets=_targets("ann", "bob"))
    by = {"actor": ALICE, "environment": environment, "version": None}

    def change():
        services.update_flag(**by, key="a", payload={"targets": _targets("ann", "cat")})
        if is_archived:
            assert editor.delete("flags/a").status_code == 200

    _after(monkeypatch, "_configs", change)

    assert FlagsPlace().erase(ANN, environment, WORKER) == [Found("targets", 1), Found("rules", 0)]
    config = FlagConfig.objects.get()
    assert (config.flag.is_archived, config.targets) == (is_archived, _targets("cat"))


def test_erase__segment_that_was_changed_meanwhile__keeps_the_change(environment, editor, monkeypatch):
    assert editor.post("segments", {"key": "s", "included": ["ann", "bob"]}).status_code == 201
    by, changed = {"actor": ALICE, "environment": environment, "version": None}, {"included": ["ann", "cat"]}
    _after(monkeypatch, "_segments", lambda: services.update_segment(**by, key="s", payload=changed))

    assert SegmentsPlace().erase(ANN, environment, WORKER) == [Found("segments", 1)]
    assert Segment.objects.get().included == ["cat"]


def test_erase__flag_and_segment_that_refuse__remain_and_the_others_go_on(environment, make_flag, editor, monkeypatch):
    for key in ("a", "b"):
        make_flag(key, targets=_targets("ann", "bob"))
        assert editor.post("segments", {"key": key, "included": ["ann", "bob"]}).status_code == 201

    def refusing(plain):
        def update(*, key, **sent):
            if key == "a":
                raise Invalid("The regex is too long.", attr="rules")
            return plain(key=key, **sent)

        return update

    monkeypatch.setattr(privacy, "update_flag", refusing(privacy.update_flag))
    monkeypatch.setattr(privacy, "update_segment", refusing(privacy.update_segment))

    why = f"a in {environment.key}: The regex is too long."
    flags = FlagsPlace().erase(ANN, environment, WORKER)
    assert flags == [Found("targets", 1), Found("rules", 0), Found("flags", 1, why)]
    assert SegmentsPlace().erase(ANN, environment, WORKER) == [Found("segments", 1), Found("segments", 1, why)]
    assert FlagConfig.objects.get(flag__key="b").targets == _targets("bob")
    assert Segment.objects.get(key="b").included == ["bob"]

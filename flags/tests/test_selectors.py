"""One definition of a flag's state, of a search and of staleness, whoever asks."""

from datetime import timedelta

import pytest
from django.utils import timezone

from flags import selectors, services, staleness
from flags.models import Flag, FlagConfig
from tenancy.testing import ALICE


@pytest.fixture
def one_of_each(environment, make_flag):
    make_flag("lit")
    make_flag("dark", enabled=False)
    make_flag("hot")
    make_flag("hot.and.dark", enabled=False)
    make_flag("gone")
    for key in ("hot", "hot.and.dark"):
        services.kill_flag(actor=ALICE, environment=environment, key=key)
    services.archive_flag(actor=ALICE, environment=environment, key="gone")


def _keys(found):
    return sorted(found.values_list("flag__key", flat=True))


@pytest.mark.parametrize(
    ("state", "keys"),
    [("on", ["lit"]), ("off", ["dark"]), ("killed", ["hot", "hot.and.dark"]), ("archived", ["gone"])],
)
def test_state__each_flag__is_in_one_by_row_as_by_query(environment, one_of_each, state, keys):
    assert _keys(FlagConfig.objects.filter(selectors.in_state(state), environment=environment)) == keys
    rows = FlagConfig.objects.filter(environment=environment).select_related("flag")
    assert sorted(row.flag.key for row in rows if row.state == state) == keys


def test_state__of_many__are_those_together(environment, one_of_each):
    rows = FlagConfig.objects.filter(environment=environment)

    assert _keys(rows.filter(selectors.in_state("all"))) == ["dark", "gone", "hot", "hot.and.dark", "lit"]
    assert _keys(rows.filter(selectors.in_state("active"))) == ["dark", "hot", "hot.and.dark", "lit"]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", ["checkout", "dark.mode"]),
        ("  ", ["checkout", "dark.mode"]),
        ("new checkout", ["checkout"]),
        ("checkout new", ["checkout"]),
        ("checkout old", []),
        ("money", ["checkout"]),
        ("mon", []),
        ("hot path", ["dark.mode"]),
        ("night DARK", ["dark.mode"]),
        (" ".join(["dark"] * 400), []),
    ],
)
def test_search__each_word__is_in_key_or_name_or_a_tag(environment, make_flag, text, keys):
    make_flag("checkout", name="The new pages", tags=["money"])
    make_flag("dark.mode", name="For the night", tags=["hot path"])

    assert _keys(FlagConfig.objects.filter(selectors.flags_matching(text))) == keys


def test_longest_unchanged__stale_ones__come_with_the_oldest_first(environment, make_flag, monkeypatch):
    monkeypatch.setattr(staleness, "_FIRST_LOOK", 1)
    everybody = [{"variant": "treatment", "percent": 100}]
    for days, key in ((50, "b"), (70, "a"), (60, "c"), (10, "fresh")):
        made = make_flag(key, rollout=everybody)
        moment = timezone.now() - timedelta(days=days)
        FlagConfig.objects.filter(pk=made.pk).update(updated_at=moment)
        Flag.objects.filter(pk=made.flag_id).update(updated_at=moment)
    stale = FlagConfig.objects.in_bulk(staleness.longest_unchanged(environment, 9))

    assert [stale[pk].flag.key for pk in staleness.longest_unchanged(environment, 9)] == ["a", "c", "b"]
    assert [stale[pk].flag.key for pk in staleness.longest_unchanged(environment, 2)] == ["a", "c"]
    assert set(stale) == staleness.stale_pks(environment, FlagConfig.objects.filter(environment=environment))

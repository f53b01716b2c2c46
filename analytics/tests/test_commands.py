"""What `manage.py events` and `generate_events` answer where there is nothing to do, or what was asked cannot be."""

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from analytics.models import DeadLetter


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["retention", "--dry-run"], "No raw event is older than it is kept."),
        (["find-bots"], "No unit goes too fast."),
    ],
)
def test_events__nothing_to_do__says_so(db, capsys, arguments, said):
    call_command("events", *arguments)

    assert capsys.readouterr().out.strip() == said


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_dead_letters__one_that_is_not_there__is_named_and_the_others_stay(environment, action):
    letter = DeadLetter.objects.create(environment_id=environment.pk, kind="exposure", reason="odd", payload=b"x")
    unknown = letter.pk + 1

    with pytest.raises(CommandError, match=f"There is no dead letter {unknown}; nothing was done."):
        call_command("events", "dead-letters", action, str(letter.pk), str(unknown))
    assert DeadLetter.objects.filter(pk=letter.pk).exists()


@pytest.mark.parametrize(
    "arguments",
    [["--users", "0"], ["--events", "-1"], ["--days", "many"], ["--start", "soon"], ["--start", "2026-13-40"]],
)
def test_generate_events__senseless_argument__is_refused_by_name(environment, arguments):
    path = f"{environment.project.organization.slug}/{environment.project.key}/{environment.key}"

    with pytest.raises(CommandError, match=f"argument {arguments[0]}: '{arguments[1]}' is not a "):
        call_command("generate_events", "--environment", path, *arguments)

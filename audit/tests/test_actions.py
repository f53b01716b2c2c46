"""The registry of actions: one entry a name, labels and tones, and names that are no longer registered."""

import pytest
from django.core.management import call_command

from audit.actions import Action, Document, all_actions, describe_payload, get_action, label_of, register, tone_of


def test_register__same_name_with_other_content__is_refused():
    register(get_action("flag.killed"))

    with pytest.raises(ValueError, match=r"two audit actions 'flag\.killed'"):
        register(Action("flag.killed", "Something else", "something else happened"))


def test_all_actions__each_has_a_label_and_a_sentence_that_the_table_can_hold():
    actions = all_actions()

    assert len(actions) > 40
    assert [action.name for action in actions if not action.label or len(action.name) > 60] == []
    assert [action.name for action in actions if not action.sentence or "|" in action.sentence] == []


def test_label__name_that_is_no_longer_registered__is_its_own():
    assert (label_of("flag.killed"), tone_of("flag.killed")) == ("Flag killed", "danger")
    assert (label_of("flag.exploded"), tone_of("flag.exploded")) == ("flag.exploded", "")


def test_describe_payload__names_the_document_or_the_fields():
    assert describe_payload(get_action("flag.created")) == "`Flag`"
    assert describe_payload(get_action("member.added")) == "`user`, `role`"
    assert describe_payload(get_action("user.exported")) == "-"


def test_document__of_each_action__is_in_the_schema_of_the_api():
    from drf_spectacular.generators import SchemaGenerator  # noqa: PLC0415 - loads every app's views

    schema = SchemaGenerator().get_schema(request=None, public=True)

    named = {action.payload.schema for action in all_actions() if isinstance(action.payload, Document)}
    assert sorted(named - schema["components"]["schemas"].keys()) == []


def test_command__prints_the_table_of_the_docs(capsys):
    call_command("audit_actions")

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| action | what happened | payload |"
    assert "| `flag.killed` | the kill switch was pressed | `killSwitchVariant`, `killedAt`, `killReason` |" in lines

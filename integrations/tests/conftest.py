"""People of acme, and rows of its audit log as services write them."""

import pytest
from django.db import transaction

import audit.services
from integrations.notifications.fan_out import fan_out
from integrations.testing import acts_as


@pytest.fixture
def ann(environment, person):
    """She made the flag `checkout`."""
    found = person("editor", environment.project.organization, "ann")
    found.email = "ann@example.com"
    found.save()
    return found


@pytest.fixture
def bob(environment, person):
    return person("editor", environment.project.organization, "bob")


@pytest.fixture
def happen(environment, ann, bob):
    def write(key, action="flag.updated", actor=None, at=environment, **states):
        with transaction.atomic():
            return audit.services.record(actor=actor or acts_as(bob), action=action, at=at, key=key, **states)

    write("checkout", "flag.created", acts_as(ann))
    fan_out()
    return write

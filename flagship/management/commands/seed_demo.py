"""`manage.py seed_demo`: fill an installation with the demo. A second run changes nothing."""

from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from audit.actors import system
from flagship.demo import access, content


class Command(BaseCommand):
    help = "Make the demo: two flags, an experiment with a week of events, var/demo.json with the keys. Idempotent."

    def handle(self, **_: Any) -> None:
        actor = system("seed_demo")
        known = access.read()
        with transaction.atomic():
            environment = content.ensure_environments(actor)
            content.ensure_flags_and_metrics(actor, environment)
            experiment = content.ensure_experiment(actor, environment)
            stored = content.ensure_events(environment, experiment)
            content.ensure_results(experiment)
            user, password = access.ensure_admin(known)
            access.ensure_owner(actor, user, environment.project.organization)
            keys = access.ensure_credentials(actor, known, user=user, environment=environment)
        is_new = access.write(
            {
                **access.addresses(known),
                "adminUser": access.ADMIN,
                "adminPassword": password,
                "organization": content.ORGANIZATION,
                "project": content.PROJECT,
                "environment": content.ENVIRONMENT,
                **keys,
            }
        )
        if password is None:
            self.stderr.write(
                f"There was a user {access.ADMIN!r} before, with a password of its own, which was left as it is."
            )
        had = f"{stored.exposures:,} exposures and {stored.conversions:,} conversions stored"
        self.stdout.write(
            f"Demo ready: {had if stored.exposures else 'its events were there already'}; "
            f"{access.path()} {'written' if is_new else 'unchanged'}."
        )

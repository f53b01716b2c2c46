"""Whatever people do in whatever order: nothing is published over an objection, or with other content than approved."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, example, given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st

from approvals import services
from approvals.models import ChangeRequest
from flags import services as flags
from flags.selectors import get_config
from flags.services import gate
from tenancy.errors import ServiceError
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db
KEY = "new-checkout"
NEEDED = 2


def shares(percent):
    return {"rollout": [{"variant": "treatment", "percent": percent}]}


# What reviewers and publishers do comes most often: else hardly a sequence would end in a publication.
ACTS = st.one_of(
    st.tuples(st.just("approve"), st.sampled_from(["bob", "carl", "dora"])),
    st.tuples(st.just("approve"), st.sampled_from(["bob", "carl", "dora"])),
    st.tuples(st.just("publish"), st.none()),
    st.tuples(st.just("edit"), st.sampled_from([20, 30])),
    st.tuples(st.sampled_from(["approve", "object", "withdraw"]), st.sampled_from(["ann", "bob", "carl", "dora"])),
    st.tuples(st.sampled_from(["publish", "publish", "emergency", "due", "rebase", "keep", "cancel"]), st.none()),
    st.tuples(st.just("schedule"), st.none()),
    # Somebody else's change, of another field or of the same.
    st.tuples(st.just("theirs"), st.sampled_from([{"enabled": False}, shares(5)])),
    st.tuples(st.just("kill"), st.none()),
)  # fmt: skip


class Played:
    """One sequence, with a record of its own of who said what about which content."""

    def __init__(self, desk):
        self.desk, self.verdicts = desk, {}
        self.request = desk.propose(shares(15))

    def now(self):
        """What is served of the flag, as far as a request decides it."""
        config = get_config(self.desk.environment, KEY)
        return config.is_enabled, config.allocation

    def proposed(self):
        self.request.refresh_from_db()
        after = self.request.parts[0]["after"]
        return after["enabled"], after["allocation"]

    def play(self, act, detail):
        before, said, was = self.now(), dict(self.verdicts), self.request.state
        try:
            getattr(self, f"do_{act}")(detail)
        except ServiceError:
            assert self.now() == before
        self.request.refresh_from_db()
        if self.request.state == "published" and was != "published":
            assert [who for who, (verdict, _) in said.items() if verdict == "object"] == []
            if act != "emergency":
                alike = [
                    w for w, (v, content) in said.items() if (v, content) == ("approve", self.now()) and w != "ann"
                ]
                assert len(alike) >= NEEDED
        elif act not in {"theirs", "kill"}:
            assert self.now() == before

    def do_edit(self, percent):
        change = {**self.request.changes[0], "patch": shares(percent), "baseVersion": None}
        self.request = services.update_request(
            principal=self.desk.principal("ann"), request=self.request, payload={"changes": [change]}, version=None
        )

    def review(self, verdict, who):
        seen = self.proposed()
        self.desk.review(self.request, who, verdict)
        self.verdicts[who] = (verdict, seen)

    def do_approve(self, who):
        self.review("approve", who)

    def do_object(self, who):
        self.review("object", who)

    def do_withdraw(self, who):
        self.review("withdraw", who)

    def do_publish(self, _):
        self.desk.publish(self.request)

    def do_emergency(self, _):
        services.emergency_publish(principal=self.desk.principal("carl"), request=self.request, reason="Down")

    def do_schedule(self, _):
        services.update_request(
            principal=self.desk.principal("ann"),
            request=self.request,
            payload={"at": timezone.now() + timedelta(hours=1)},
            version=None,
        )

    def do_due(self, _):
        services.publish_due(timezone.now() + timedelta(hours=2))

    def do_rebase(self, _):
        services.rebase_request(principal=self.desk.principal("ann"), request=self.request)

    def do_keep(self, _):
        services.rebase_request(principal=self.desk.principal("ann"), request=self.request, keep=True)

    def do_cancel(self, _):
        services.cancel_request(principal=self.desk.principal("ann"), request=self.request)

    def do_theirs(self, patch):
        with gate.permitted():
            flags.update_flag(actor=ALICE, environment=self.desk.environment, key=KEY, payload=patch, version=None)

    def do_kill(self, _):
        flags.kill_flag(actor=ALICE, environment=self.desk.environment, key=KEY)


APPROVED = [("approve", "bob"), ("approve", "carl"), ("publish", None)]
# Sequences at whose end the request is published.
ENDING_WELL = [
    APPROVED,
    [("theirs", shares(5)), ("keep", None), *APPROVED],
    [*APPROVED[:2], ("edit", 20), ("publish", None), *APPROVED],
]


@example(acts=ENDING_WELL[0])
@example(acts=ENDING_WELL[1])
@example(acts=ENDING_WELL[2])
@of_hypothesis(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(acts=st.lists(ACTS, min_size=4, max_size=14))
def test_any_sequence__what_is_published__was_approved_and_nobody_objects(desk, acts):
    with transaction.atomic():
        desk.policy(requiredApprovals=NEEDED, approvers={"roles": ["editor"]}, emergency={"roles": ["admin"]})
        played = Played(desk)
        for act, detail in acts:
            played.play(act, detail)
        if acts in ENDING_WELL:
            assert played.request.state == ChangeRequest.State.PUBLISHED
        if played.request.state == ChangeRequest.State.CANCELLED:
            # It blocks nothing: the same change goes its way in another request.
            again = desk.propose(shares(60))
            for who in ("bob", "carl"):
                desk.review(again, who)
            assert desk.publish(again).state == "published"
        transaction.set_rollback(True)

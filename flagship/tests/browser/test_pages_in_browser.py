"""Every main page: no complaint on the console, nothing serious for axe-core, nothing wider than a phone."""

from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import resolve, reverse

from audit.models import Entry
from experiments import services as experiment_services
from flags import services
from flagship.tests.crawling import crawl
from tenancy import services as tenancy_services
from tenancy.models import Membership, User
from tenancy.services.saved_views import save_view
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PAGES = [
    "home", "flags", "flag", "try", "board", "kill by tag", "new flag", "kill", "history", "designer", "experiments",
    "experiment", "results", "start", "segments", "new segment", "layer", "metrics", "new metric", "member", "projects",
    "health", "jobs", "environments", "members", "new member", "service accounts",
    "new service account", "service account", "keys", "new key", "audit", "audit entry",
]  # fmt: skip
# Files to take away.
NO_PAGES = ("export", "_chart")
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True}


@pytest.fixture
def addresses(acme, console_owner):
    """Where each page is, with something to show on it."""
    environment = acme.production
    rollout = [{"variant": "treatment", "percent": 50}]
    rule = {
        "priority": 10,
        "name": "Pro in the US",
        "variant": "treatment",
        "conditions": [
            {"attribute": "country", "operator": "equals", "value": "US"},
            {"attribute": "plan", "operator": "in", "value": ["pro", "team"]},
        ],
    }
    payload = {"key": "new-checkout", "enabled": True, "rollout": rollout, "rules": [rule]}
    config, _ = services.create_flag(actor=ALICE, environment=environment, payload=payload)
    metric = {"key": "purchase-rate", "type": "binary", "eventName": "purchase"}
    experiment_services.create_metric(actor=ALICE, environment=environment, payload=metric)
    content = {"name": "Checkout", "flagKey": "new-checkout", "primaryMetric": "purchase-rate"}
    experiment = experiment_services.create_experiment(actor=ALICE, environment=environment, payload=content)
    draft = experiment_services.create_experiment(actor=ALICE, environment=environment, payload=content)
    experiment_services.start_experiment(actor=ALICE, environment=environment, pk=experiment.pk)
    tenancy_services.issue_credential(
        actor=ALICE, kind="server", name="shop", organization=acme.organization, environment=environment
    )
    account, _ = tenancy_services.create_service_account(actor=ALICE, organization=acme.organization, name="deploy-bot")
    layer, _ = services.create_layer(actor=ALICE, environment=environment, payload={"key": "checkout"})
    entry = Entry.objects.order_by("-id").first()
    routes = {
        "home": ("index", []),
        "flags": ("flags_flagconfig_changelist", []),
        "flag": ("flags_flagconfig_change", [config.pk]),
        "try": ("flags_flagconfig_try", [config.pk]),
        "board": ("flags_flagconfig_board", [config.pk]),
        "kill by tag": ("flags_flagconfig_kill_tag", []),
        "designer": ("experiments_experiment_add", []),
        "new flag": ("flags_flagconfig_add", []),
        "kill": ("flags_flagconfig_kill", [config.pk]),
        "history": ("flags_flagconfig_history", [config.pk]),
        "experiments": ("experiments_experiment_changelist", []),
        "experiment": ("experiments_experiment_change", [experiment.pk]),
        "results": ("experiments_experiment_results", [experiment.pk]),
        "start": ("experiments_experiment_start", [draft.pk]),
        "segments": ("flags_segment_changelist", []),
        "new segment": ("flags_segment_add", []),
        "layer": ("flags_layer_change", [layer.pk]),
        "metrics": ("experiments_metric_changelist", []),
        "new metric": ("experiments_metric_add", []),
        "member": ("tenancy_membership_change", [Membership.objects.first().pk]),
        "projects": ("tenancy_project_changelist", []),
        "jobs": ("experiments_experiment_jobs", []),
        "environments": ("tenancy_environment_changelist", []),
        "members": ("tenancy_membership_changelist", []),
        "new member": ("tenancy_membership_add", []),
        "service accounts": ("tenancy_serviceaccount_changelist", []),
        "new service account": ("tenancy_serviceaccount_add", []),
        "service account": ("tenancy_serviceaccount_change", [account.pk]),
        "keys": ("tenancy_credential_changelist", []),
        "new key": ("tenancy_credential_add", []),
        "audit": ("audit_entry_changelist", []),
        "audit entry": ("audit_entry_change", [entry.pk]),
    }
    found = {name: reverse(f"admin:{route}", args=arguments) for name, (route, arguments) in routes.items()}
    return {**found, "health": reverse("console_health")}


@pytest.fixture
def everything(acme, addresses):
    """What else there is a page about: killed, archived and former flags, a segment, a finished experiment, a view."""
    environment = acme.production
    half = [{"variant": "treatment", "percent": 50}]
    for key in ("killed", "gone", "tried"):
        payload = {"key": key, "enabled": True, "tags": ["pay"], "rollout": half}
        services.create_flag(actor=ALICE, environment=environment, payload=payload)
    services.kill_flag(actor=ALICE, environment=environment, key="killed", reason="Errors")
    services.archive_flag(actor=ALICE, environment=environment, key="gone", reason="Done")
    services.create_segment(actor=ALICE, environment=environment, payload={"key": "beta", "included": ["ann"]})
    design = {"name": "Tried", "flagKey": "tried", "primaryMetric": "purchase-rate"}
    tried = experiment_services.create_experiment(actor=ALICE, environment=environment, payload=design)
    experiment_services.start_experiment(actor=ALICE, environment=environment, pk=tried.pk)
    experiment_services.complete_experiment(
        actor=ALICE, environment=environment, pk=tried.pk, decision="stop", variant=None, reason="Enough"
    )
    save_view(
        user=User.objects.get(username="olga"), organization=acme.organization, page="flags_flagconfig", name="Paying",
        query="tag=pay", is_shared=True,
    )  # fmt: skip
    return addresses


def serious(page, name):
    found = Axe().run(page)
    return [
        f"{name}: {item['id']}: {node['html'][:160]}"
        for item in found.response["violations"]
        if item["impact"] in {"serious", "critical"}
        for node in item["nodes"][:3]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages__each__are_clean(open_session, console_owner, addresses, scheme):
    session = open_session(console_owner, color_scheme=scheme)
    wrong = []
    for name in PAGES:
        page = session.visit(addresses[name])
        page.wait_for_load_state("networkidle")
        wrong += serious(page, name)
    assert wrong == []


@pytest.mark.parametrize("half", [0, 1])
def test_pages__every_other_one_that_a_link_leads_to__is_clean(open_session, console_owner, everything, half):
    """One of each route that is not in the list above: whoever adds a page has it looked at here."""
    statuses, _ = crawl(console_owner)
    listed = {resolve(address).url_name for address in everything.values()}
    others = {}
    for address, status in statuses.items():
        name = resolve(urlsplit(address).path).url_name
        if status == 200 and name not in listed and not str(name).endswith(NO_PAGES):
            others.setdefault(name, address)
    flags = everything["flags"]
    others |= {
        "a view kept": f"{flags}?tag=pay",
        "archived": f"{flags}?state=archived",
        "nothing": f"{flags}?q=nothing",
    }
    session = open_session(console_owner)

    wrong = []
    for name, address in sorted(others.items())[half::2]:
        wrong += serious(session.visit(address), name)
    assert {"flags_flagconfig_compare", "flags_segment_delete", "console_password"} <= others.keys()
    assert wrong == []


def test_pages__on_a_phone__are_not_wider_than_it(open_session, console_owner, addresses):
    session = open_session(console_owner, **PHONE)
    wide = {}
    for name in PAGES:
        page = session.visit(addresses[name])
        page.wait_for_load_state("networkidle")
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > 390:
            wide[name] = width
    assert wide == {}

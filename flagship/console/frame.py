"""The console's frame for django-unfold: name, colours and navigation. The browser fetches nothing from other hosts."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _link(title: str, icon: str, route: str, *, needs: str | None = None, is_placed: bool = False) -> dict[str, Any]:
    """Return an item of the navigation. One that `is_placed` leads to the environment of the page that it stands on."""
    item: dict[str, Any] = {"title": title, "icon": icon, "route": route, "link": reverse_lazy(route)}
    item["is_about_environment"] = is_placed
    return {**item, "permission": needs} if needs else item


def _file(path: str) -> Callable[[HttpRequest], str]:
    """Return a callable that gives a static file's address. unfold calls it once the addresses are known."""
    return lambda _request: static(f"flagship/{path}")


SECTIONS: list[dict[str, Any]] = [
    {
        "items": [
            _link("Home", "home", "admin:index", is_placed=True),
            _link("For you", "inbox", "admin:integrations_notification_changelist"),
        ]
    },
    {
        "title": "Decide",
        "separator": True,
        "items": [
            _link("Flags", "flag", "admin:flags_flagconfig_changelist", is_placed=True),
            _link("Segments", "groups", "admin:flags_segment_changelist", is_placed=True),
            _link("Rollouts", "stairs", "admin:rollouts_rolloutplan_changelist", is_placed=True),
            _link("What is to come", "calendar_month", "admin:rollouts_rolloutplan_calendar", is_placed=True),
            _link("Experiments", "science", "admin:experiments_experiment_changelist", is_placed=True),
            _link("Metrics", "monitoring", "admin:experiments_metric_changelist", is_placed=True),
            _link("Layers", "layers", "admin:flags_layer_changelist", is_placed=True),
            _link("Change requests", "rule", "admin:approvals_changerequest_changelist", is_placed=True),
            _link("Freezes", "ac_unit", "admin:approvals_freeze_changelist"),
        ],
    },
    {
        "title": "Operate",
        "separator": True,
        "items": [
            _link("Health", "monitor_heart", "console_health", is_placed=True),
            _link("Connected services", "hub", "console_services", is_placed=True),
            _link("Events", "inbox", "console_events", is_placed=True),
            _link("Scheduled changes", "event", "admin:rollouts_scheduledchange_changelist", is_placed=True),
            _link("Triggers", "notifications_active", "admin:rollouts_trigger_changelist", is_placed=True),
            _link("Jobs", "schedule", "admin:experiments_experiment_jobs", is_placed=True),
        ],
    },
    {
        "title": "Organization",
        "separator": True,
        "items": [
            _link("Projects", "folder", "admin:tenancy_project_changelist"),
            _link("Environments", "dns", "admin:tenancy_environment_changelist"),
            _link("Members", "group", "admin:tenancy_membership_changelist"),
            _link(
                "Service accounts",
                "smart_toy",
                "admin:tenancy_serviceaccount_changelist",
                needs="flagship.console.navigation.may_see_service_accounts",
            ),
            _link(
                "Keys and tokens",
                "key",
                "admin:tenancy_credential_changelist",
                needs="flagship.console.navigation.may_see_keys",
            ),
            _link(
                "Webhooks",
                "webhook",
                "admin:integrations_webhookendpoint_changelist",
                needs="flagship.console.navigation.may_see_service_accounts",
            ),
            _link(
                "Privacy",
                "shield_person",
                "admin:tenancy_privacyjob_changelist",
                needs="flagship.console.navigation.may_see_service_accounts",
            ),
            _link("Audit log", "history", "admin:audit_entry_changelist"),
        ],
    },
]

_STYLES = ("console", "controls", "flag-page", "charts", "frame", "places")

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "FlagShip",
    "SITE_HEADER": "FlagShip",
    "SITE_SYMBOL": "flag",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _file("favicon.svg")}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "STYLES": [_file(f"styles/{name}.css") for name in _STYLES],
    "SCRIPTS": [_file(f"{name}.js") for name in ("session", "console", "search")],
    "LOGIN": {"form": "flagship.console.password_forms.SignInForm"},
    "DASHBOARD_CALLBACK": "flagship.console.home.fill",
    "GLOBAL_CALLBACK": "flagship.console.context.fill",
    "COLORS": {
        "primary": {
            "50": "oklch(96.2% .018 272.314)",
            "100": "oklch(93% .034 272.788)",
            "200": "oklch(87% .065 274.039)",
            "300": "oklch(78.5% .115 274.713)",
            "400": "oklch(67.3% .182 276.935)",
            "500": "oklch(58.5% .233 277.117)",
            "600": "oklch(51.1% .262 276.966)",
            "700": "oklch(45.7% .24 277.023)",
            "800": "oklch(39.8% .195 277.366)",
            "900": "oklch(35.9% .144 278.697)",
            "950": "oklch(25.7% .09 281.288)",
        }
    },
    "SIDEBAR": {"show_search": True, "command_search": True, "show_all_applications": False, "navigation": SECTIONS},
}

"""The console's frame for django-unfold: name, colours and navigation. The browser fetches nothing from other hosts."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _link(title: str, icon: str, route: str, *, needs: str | None = None) -> dict[str, Any]:
    item: dict[str, Any] = {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{route}")}
    return {**item, "permission": needs} if needs else item


def _file(path: str) -> Callable[[HttpRequest], str]:
    """Return a callable that gives a static file's address. unfold calls it once the addresses are known."""
    return lambda _request: static(f"flagship/{path}")


SECTIONS: list[dict[str, Any]] = [
    {"items": [_link("Home", "home", "index")]},
    {
        "title": "Decide",
        "separator": True,
        "items": [
            _link("Flags", "flag", "flags_flagconfig_changelist"),
            _link("Segments", "groups", "flags_segment_changelist"),
            _link("Experiments", "science", "experiments_experiment_changelist"),
            _link("Metrics", "monitoring", "experiments_metric_changelist"),
            _link("Layers", "layers", "flags_layer_changelist"),
        ],
    },
    {
        "title": "Organization",
        "separator": True,
        "items": [
            _link("Projects", "folder", "tenancy_project_changelist"),
            _link("Environments", "dns", "tenancy_environment_changelist"),
            _link("Members", "group", "tenancy_membership_changelist"),
            _link(
                "Service accounts",
                "smart_toy",
                "tenancy_serviceaccount_changelist",
                needs="flagship.console.navigation.may_see_service_accounts",
            ),
            _link(
                "Keys and tokens",
                "key",
                "tenancy_credential_changelist",
                needs="flagship.console.navigation.may_see_keys",
            ),
            _link("Audit log", "history", "audit_entry_changelist"),
        ],
    },
]

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "FlagShip",
    "SITE_HEADER": "FlagShip",
    "SITE_SYMBOL": "flag",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _file("favicon.svg")}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "STYLES": [_file(f"styles/{name}.css") for name in ("console", "controls", "flag-page", "charts", "frame")],
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

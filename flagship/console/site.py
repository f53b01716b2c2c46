"""The console's site: Unfold's, without what our frame never shows."""

from typing import Any

from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest
from unfold.sites import UnfoldAdminSite


class ConsoleConfig(AdminConfig):
    default_site = "flagship.console.site.ConsoleSite"


class ConsoleSite(UnfoldAdminSite):
    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """The models of one app. Those of all apps are in no page: the frame has its own navigation.

        They would ask for every model's permissions, in every page.
        """
        return super().get_app_list(request, app_label) if app_label else []

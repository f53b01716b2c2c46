"""Every route: the API twice (`/api/`, and its alias `/v1/`), the console, health."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView

from flagship import health
from flagship.console import error_pages, events, home, password, saved_views, search, session
from flagship.console.health import connected_services, health_page
from flagship.console.sign_on import SignedOnView, SignOnView
from flagship.openapi.document import SchemaView
from integrations.admin.inbox import unread

_api: list[URLPattern | URLResolver] = [
    path("", include("tenancy.api.urls")),
    path("", include("integrations.api.urls")),
    path("", include("flags.api.urls")),
    path("", include("analytics.api.urls")),
    path("", include("experiments.api.urls")),
    path("", include("rollouts.api.urls")),
    path("", include("approvals.api.urls")),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz),
    path("live", health.healthz),
    path("health", health.healthz),
    path("readyz", health.readyz, name="readyz"),
    path("ready", health.readyz),
    path("metrics", health.metrics),
    path("api/schema/", SchemaView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("api/", include(_api)),
    path("v1/", include(_api)),
    # The data plane without a prefix, for clients that were written to other documents.
    path("", include("flags.api.plain_urls")),
    path("", include("analytics.api.urls")),
    path("ofrep/v1/", include("flags.api.ofrep_urls")),
    path("sso/start", SignOnView.as_view(), name="oidc_authentication_init"),
    path("sso/callback", SignedOnView.as_view(), name="oidc_authentication_callback"),
    path("admin/health/", admin.site.admin_view(health_page.page), name="console_health"),
    path("admin/events/", admin.site.admin_view(events.page), name="console_events"),
    path("admin/events/discard/", admin.site.admin_view(events.discard), name="console_events_discard"),
    path("admin/services/", admin.site.admin_view(connected_services.page), name="console_services"),
    path("admin/session/", session.now, name="console_session"),
    path("admin/session/signed-in/", admin.site.admin_view(session.signed_in), name="console_signed_in"),
    path("admin/unread/", admin.site.admin_view(unread), name="console_unread"),
    path("admin/search/", admin.site.admin_view(search.find), name="console_search"),
    path("admin/views/", admin.site.admin_view(saved_views.save), name="console_view_save"),
    path("admin/views/<int:pk>/forget/", admin.site.admin_view(saved_views.forget), name="console_view_forget"),
    path("admin/password_change/", admin.site.admin_view(password.change), name="console_password"),
    path("admin/", admin.site.admin_view(home.page), name="console_home"),
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]

handler400 = error_pages.bad_request
handler403 = error_pages.permission_denied
handler404 = error_pages.page_not_found
handler500 = error_pages.server_error

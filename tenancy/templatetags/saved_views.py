"""The saved views of a list: one's own, and those that others in the organization share."""

from typing import Any

from django import template
from django.db.models import Q

from tenancy.models import SavedView

register = template.Library()


@register.inclusion_tag("console/saved_views.html", takes_context=True)
def saved_views(context: dict[str, Any], changelist: Any) -> dict[str, Any]:
    # Django reads tag libraries while the admin itself is still being imported.
    from tenancy.console_kit.context import console_context  # noqa: PLC0415 - see above

    request = context["request"]
    environment = console_context(request).environment
    if environment is None:
        return {}
    opts = changelist.opts
    page = f"{opts.app_label}_{opts.model_name}"
    found = SavedView.objects.filter(
        Q(user=request.user) | Q(is_shared=True), organization=environment.project.organization_id, page=page
    ).select_related("user")
    return {
        "request": request,
        "views": list(found[:100]),
        "page": page,
        "query": request.GET.urlencode(),
        "csrf_token": context.get("csrf_token"),
        "page_environment": console_context(request).bound,
        "is_filtered": bool(changelist.query or changelist.has_active_filters),
    }

"""Kill or release everything with a tag: a kill category, such as every flag that calls the payment provider."""

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from flags import services
from flags.admin.bulk import select
from flags.admin.effects import served
from flags.admin.flag.sentences import describe
from flags.documents import flag_document
from flags.models import Flag, FlagConfig
from flags.selectors import search_configs
from tenancy.console_kit.context import console_context
from tenancy.errors import ServiceError
from tenancy.models import Environment

if TYPE_CHECKING:
    from flags.admin.flags import FlagConfigAdmin


def choose(model_admin: "FlagConfigAdmin", request: HttpRequest, environment: Environment) -> HttpResponse:
    """First the tag, then what it means for each flag, then the act, with a reason."""
    tag = request.POST.get("tag") or request.GET.get("tag") or ""
    reason = request.POST.get("reason", "").strip()
    problems: list[str] = []
    if request.method == "POST":
        is_release = "release" in request.POST
        if not reason and not is_release:
            problems = ["Say why: whoever reads the log next needs to know."]
        else:
            act = services.release_tag if is_release else services.kill_tag
            try:
                configs = act(actor=console_context(request).actor, environment=environment, tag=tag, reason=reason)
            except ServiceError as error:
                problems = [problem.detail for problem in error.problems]
            else:
                done = "released" if is_release else "killed"
                messages.success(request, f"{len(configs)} flags with the tag {tag} are {done} in {environment}.")
                return redirect(f"{model_admin.list_url()}?environment={environment.pk}&tag={tag}")
    tagged = search_configs(environment, tag=tag) if tag else FlagConfig.objects.none()
    chosen = select(tagged)
    documents = [flag_document(config) for config in chosen.shown]
    return model_admin.page(
        request,
        "flags/kill_tag.html",
        title="Kill by tag",
        status=422 if problems else 200,
        place=environment,
        tags=_tags(environment),
        tag=tag,
        reason=reason,
        problems=problems,
        chosen=chosen,
        has_killed=tagged.exclude(kill_switch_variant="").exists(),
        rows=[
            {
                "config": config,
                "affected": max(0.0, 1 - served(document).get(config.off_variant, 0.0)),
                "now": describe(document),
            }
            for config, document in zip(chosen.shown, documents, strict=True)
        ],
        list_url=f"{model_admin.list_url()}?environment={environment.pk}",
    )


def _tags(environment: Environment) -> list[str]:
    rows = Flag.objects.filter(project=environment.project_id, is_archived=False).exclude(tags=[])
    return sorted({tag for tags in rows.order_by().values_list("tags", flat=True).distinct() for tag in tags})

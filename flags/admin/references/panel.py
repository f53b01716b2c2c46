"""The section of a flag's page: in which repositories code refers to it, with links to the lines."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from flags.models import FlagConfig
from flags.references.reading import OTHER_BRANCHES_DAYS, references_of

_MOST_PLACES = 20


def fragment(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    """The places of the branches that count; of the others the count alone."""
    found = references_of(config.flag)
    branches = [
        {
            "at": each,
            "places": each.places[:_MOST_PLACES] if each.is_counted else [],
            "more": max(0, each.count - _MOST_PLACES) if each.is_counted else 0,
        }
        for each in found.branches
    ]
    return render(
        request,
        "flags/references.html",
        {
            "found": found,
            "branches": branches,
            "flag": config.flag,
            "project": config.flag.project,
            "days": OTHER_BRANCHES_DAYS,
        },
    )

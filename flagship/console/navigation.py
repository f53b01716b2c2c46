"""Which entries of the navigation a person sees: none that would answer with a refusal."""

from django.http import HttpRequest

from tenancy.admin.visit import visit
from tenancy.models import Role


def may_see_keys(request: HttpRequest) -> bool:
    looking = visit(request)
    return looking.may_in(Role.ADMIN) or any(looking.may(Role.ADMIN, row) for row in looking.environments)

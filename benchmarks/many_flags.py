"""Thousands of flags in a project, written straight into their tables, as the console and the API would leave them."""

from collections.abc import Iterable
from typing import Any

WORDS = ("checkout", "search", "banner", "payment", "profile", "upload", "invite", "export", "theme", "login")


def add_flags(project: Any, environments: Iterable[Any], numbers: range) -> tuple[list[Any], list[Any]]:
    """A quarter of the users get the treatment; gives the flags and their configurations, without rules."""
    from flags.models import Flag, FlagConfig  # noqa: PLC0415 - after setup
    from flags.services.drafts import BOOLEAN_VARIANTS  # noqa: PLC0415 - likewise

    flags = Flag.objects.bulk_create(
        Flag(
            project=project,
            key=f"{WORDS[number % len(WORDS)]}-{number:05d}",
            name=f"The {WORDS[number % len(WORDS)]} of team {number % 37}",
            tags=[f"team-{number % 37}"],
            variants=BOOLEAN_VARIANTS,
        )
        for number in numbers
    )
    configs = FlagConfig.objects.bulk_create(
        FlagConfig(
            flag=flag,
            environment=environment,
            is_enabled=True,
            default_variant="control",
            off_variant="control",
            salt=flag.key,
            allocation=[[0, 2500, "treatment"]],
            version=1,
        )
        for environment in environments
        for flag in flags
    )
    return flags, configs

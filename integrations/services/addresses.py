"""What is wrong with an address that somebody entered, in the words of the API."""

from integrations.outside.calls import ForbiddenAddressError, check
from integrations.outside.targets import BadTargetError
from tenancy.errors import Problem


def address_problems(url: str) -> list[Problem]:
    """It asks DNS: call it before a lock is taken."""
    try:
        check(url)
    except BadTargetError as error:
        return [Problem("url", "invalid", str(error))]
    except ForbiddenAddressError as error:
        return [Problem("url", "forbidden_address", str(error))]
    return []

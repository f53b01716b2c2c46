"""A figure is of the stack that is shipped: the versions of requirements.txt, and no others."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"


def differences(requirements: Path = REQUIREMENTS) -> list[str]:
    """What is installed here in another version than `requirements` pins, or not at all."""
    found = []
    for line in requirements.read_text().splitlines():
        if not line or line.startswith(("#", "-", " ")):  # a space: a file's hash
            continue
        wanted = Requirement(line.removesuffix("\\"))
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        try:
            here = version(wanted.name)
        except PackageNotFoundError:
            found.append(f"{wanted.name} is missing")
            continue
        if not wanted.specifier.contains(here, prereleases=True):
            found.append(f"{wanted.name} is {here}, not {wanted.specifier}")
    return found


def refuse_another() -> None:
    """Raises SystemExit."""
    found = differences()
    if found:
        raise SystemExit(f"Not the stack that is shipped: {'; '.join(found)}. Run `make setup`, or measure nothing.")

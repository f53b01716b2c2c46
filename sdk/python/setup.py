"""What is known only where the package is published: its addresses. All else stands in pyproject.toml."""

import os

from setuptools import setup  # type: ignore[import-untyped]  # it is there at a build alone

NAMES = {"Homepage": "HOMEPAGE", "Documentation": "DOCUMENTATION", "Source": "SOURCE", "Issues": "ISSUES"}
given = {label: os.environ.get(f"FLAGSHIP_PACKAGE_{name}", "") for label, name in NAMES.items()}

setup(project_urls={label: url for label, url in given.items() if url})

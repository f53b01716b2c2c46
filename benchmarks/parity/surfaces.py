"""Twenty thousand (flag, context) pairs through every surface, each answer compared with the engine's.

`python -m benchmarks.parity [--flags 100] [--contexts 200]`; needs no server, the applications are called in process.
"""

import argparse
import os
import platform
import sys
from uuid import uuid4

from benchmarks.world import report

ENVIRONMENT_ID = 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--flags", type=int, default=100)
    parser.add_argument("--contexts", type=int, default=200)
    options = parser.parse_args()
    _set_up()
    from openflagship.engine import CompiledEnvironment  # noqa: PLC0415 - after setup

    from flags.propagation.runtime import RUNTIME  # noqa: PLC0415 - likewise
    from flagship.tests import parity_world  # noqa: PLC0415 - likewise
    from flagship.tests.surfaces import engine_answers, surfaces  # noqa: PLC0415 - likewise

    document, contexts = parity_world.document(options.flags), parity_world.contexts(options.contexts)
    RUNTIME.environments = {ENVIRONMENT_ID: CompiledEnvironment.from_document(document)}
    ours, theirs = engine_answers(document, contexts)
    reasons = sorted({answer["reason"] for answer in ours.values()})
    lines = [
        "## Parity",
        "",
        f"`python -m benchmarks.parity`; Python {platform.python_version()}. {len(ours):,} pairs of {options.flags} "
        f"generated flags and {options.contexts} contexts, each answer compared with the engine's, field by field; "
        f"the servers' applications are called in process. Reasons among them: {', '.join(reasons)}.",
        "",
        "| surface | answers | differing |",
        "|---|---|---|",
    ]
    failed = 0
    for name, is_ofrep, answers in surfaces(document, contexts, _key()):
        expected = theirs if is_ofrep else ours
        differing = sum(answers.get(pair) != wanted for pair, wanted in expected.items())
        failed += differing
        lines.append(f"| {name} | {len(answers):,} | {differing:,} |")
        print(lines[-1], flush=True)
    report("parity", lines)
    sys.exit(1 if failed else 0)


def _set_up() -> None:
    """Django without anything to connect to: evaluation needs neither a database nor Redis."""
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "flagship.settings",
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "SECRET_KEY": "benchmark-secret-key-of-no-consequence",
        "LOG_LEVEL": "WARNING",
        "ALLOWED_HOSTS": "testserver",
        "RATE_LIMIT_KEY": "1000000000",
        "RATE_LIMIT_ADDRESS": "1000000000",
    }
    import django  # noqa: PLC0415 - after the environment

    django.setup()
    from analytics.pipeline.exposure_buffer import EXPOSURES  # noqa: PLC0415 - after setup

    # What was evaluated here is nobody's exposure.
    EXPOSURES.add = lambda *_: None  # type: ignore[method-assign]


def _key() -> str:
    from tenancy import credentials  # noqa: PLC0415 - after setup
    from tenancy.authentication.keyring import KEYRING  # noqa: PLC0415 - likewise

    secret = credentials.generate("server")
    row = {
        "id": str(uuid4()),
        "kind": "server",
        "prefix": secret.prefix,
        "name": "parity",
        "digest": secret.digest.hex(),
        "organization_id": 1,
        "organization_slug": "bench",
        "environment_id": ENVIRONMENT_ID,
        "user_id": None,
        "expires_at": None,
    }
    KEYRING.restore(1, [row])
    return secret.text

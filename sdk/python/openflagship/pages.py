"""One user's answers, for a page to begin with until the network has answered: `bootstrap` of `openflagship-web`."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from openflagship.client.context import AnyContext, context_of
from openflagship.client.evaluation import Evaluation
from openflagship.wire.metadata import metadata_of


def page_answers(client: Evaluation, context: AnyContext) -> dict[str, Any]:
    """All flags for one user, in the form of OFREP's bulk answer with the SDK's own reasons.

    It records no exposures: the page does, for what it shows. A template writes it with `json_script`.
    """
    environment = client.environment
    flags: list[dict[str, Any]] = []
    for key, answer in client.all_flags_detail(context).items():
        if answer.error_code is not None:
            flags.append({"key": key, "errorCode": answer.error_code, "errorDetails": answer.detail or ""})
            continue
        flag = environment.flags.get(key)
        document: Mapping[str, Any] = {} if flag is None else flag.document
        bucket_by = "userId" if flag is None else flag.bucket_by
        metadata = metadata_of(document, bucket_by, answer)
        said: dict[str, Any] = {
            "key": key,
            "reason": answer.reason,
            "variant": answer.variant or "",
            "value": answer.value,
        }
        flags.append({**said, "metadata": metadata})
    user_id = context_of(context).user_id or ""
    return {"flags": flags, "metadata": {"configVersion": environment.version, "targetingKey": user_id}}


def signed_page_answers(client: Evaluation, context: AnyContext, secret: str) -> dict[str, str]:
    """The same as text, with a signature for whoever passes it on. `secret`: the environment's signing secret.

    Raises ValueError for an empty secret.
    """
    answers = json.dumps(page_answers(client, context), ensure_ascii=False, separators=(",", ":"))
    return {"answers": answers, "signature": _signature(answers, secret)}


def verified_page_answers(signed: Mapping[str, str], secret: str) -> dict[str, Any]:
    """The answers of what `signed_page_answers` gave. Raises ValueError where it is not as it was signed."""
    answers, signature = str(signed.get("answers")), str(signed.get("signature"))
    if not hmac.compare_digest(signature.encode(), _signature(answers, secret).encode()):
        raise ValueError("signature: It is not that of these answers under this secret.")
    found: dict[str, Any] = json.loads(answers)
    return found


def _signature(text: str, secret: str) -> str:
    if not secret.strip():
        raise ValueError("secret: It is empty; give a secret.")
    return "sha256=" + hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()

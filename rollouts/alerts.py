"""What calls a trigger: the payloads of Alertmanager and Grafana, and a plain one."""

from collections.abc import Mapping
from typing import Any, Final

from audit.chain import canonical
from tenancy.errors import Invalid

_FIRING: Final = frozenset({"firing", "alerting"})
_RECOVERED: Final = frozenset({"resolved", "ok", "paused", "no_data", "pending"})
_KNOWN: Final = 'Send an alert of Alertmanager or Grafana, or {"status": "firing" or "resolved", "fingerprint"?}.'
_MOST_ALERTS: Final = 1_000


def firing(body: Any) -> list[str]:
    """Return what each firing alert calls itself; none where all have recovered. Raises Invalid."""
    if not isinstance(body, Mapping):
        raise Invalid(_KNOWN, code="invalid_type")
    alerts = body.get("alerts")
    if isinstance(alerts, list) and alerts:
        if len(alerts) > _MOST_ALERTS or not all(isinstance(alert, Mapping) for alert in alerts):
            raise Invalid(f"Send at most {_MOST_ALERTS:,} alerts, each an object.", attr="alerts", code="invalid")
        return [
            _fingerprint(alert) for index, alert in enumerate(alerts) if _is_firing(alert, f"alerts[{index}].status")
        ]
    return [_fingerprint(body)] if _is_firing(body, "status") else []


def _is_firing(alert: Mapping[str, Any], path: str) -> bool:
    # Grafana's former alerting calls it `state`.
    status = alert.get("status", alert.get("state"))
    if not isinstance(status, str) or status not in _FIRING | _RECOVERED:
        raise Invalid(_KNOWN, attr=path, code="invalid_choice")
    return status in _FIRING


def _fingerprint(alert: Mapping[str, Any]) -> str:
    """Its own fingerprint, else its labels or the former Grafana's rule; a plain alert without one is always one."""
    for name in ("fingerprint", "ruleId", "labels"):
        if alert.get(name):
            return f"{name}:{canonical(alert[name])!r}"
    return ""

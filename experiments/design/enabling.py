"""What switching a flag on changes for those who take no part in its experiment: the price of `enableFlag`."""

from collections.abc import Mapping

from openflagship.engine import impact

from experiments.design.payloads import EnablingForecast, ServedShare
from flags.documents import flag_document
from flags.models import FlagConfig


def enabling_of(config: FlagConfig) -> EnablingForecast:
    """Compare the flag as it is, off, with the flag switched on, without the experiment."""
    off = flag_document(config)
    on = {**off, "enabled": True, "experiment": None}
    found = impact(off, on)
    decides = bool(off["targets"] or off["rules"] or off["prerequisites"])
    after = shares_of_impact(found.after)
    return {
        "before": shares_of_impact(found.before),
        "after": after,
        "changed": found.changed,
        "decidedByRules": decides,
        "text": _sentence(config, after, decides=decides),
    }


def _sentence(config: FlagConfig, after: list[ServedShare], *, decides: bool) -> str:
    """Say it for everybody at once: who takes part is decided by the experiment alone."""
    shares = " and ".join(f"{100 * item['share']:.4g} % {item['variant']}" for item in after)
    rules = " Its targets, rules and prerequisites decide for some of them." if decides else ""
    return (
        f"Off, {config.flag.key} serves {config.off_variant} to everybody. Switched on, it serves those who take no "
        f"part {shares}.{rules}"
    )


def shares_of_impact(shares: Mapping[str | None, float]) -> list[ServedShare]:
    return [{"variant": variant, "share": share} for variant, share in shares.items()]

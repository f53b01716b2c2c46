"""Whether the users of each flag are in the shares of its configuration, looked at each night."""

import structlog

from experiments.analysis.flag_split import FlagRatio, exposures_resource
from flags.evaluation.deviations import WARNED_SHARE, keep_deviations
from flags.selectors import configs
from tenancy.errors import ServiceError
from tenancy.models import Environment

log = structlog.get_logger(__name__)


def watch_splits(environment: Environment) -> dict[str, float]:
    """Look at each active flag that splits its users. Log, keep and return what chance does not explain."""
    found: dict[str, float] = {}
    for config in configs(environment).filter(flag__is_archived=False, is_enabled=True, kill_switch_variant=""):
        if not config.allocation and config.experiment is None:
            continue
        try:
            deviation = largest_deviation(exposures_resource(config, None)["srm"])
        except ServiceError as error:
            log.warning("flag_split_unknown", flag=config.flag.key, why=error.problems[0].detail)
            continue
        if deviation > WARNED_SHARE:
            found[config.flag.key] = deviation
            log.warning(
                "flag_split_deviates", environment=environment.pk, flag=config.flag.key, deviation=round(deviation, 4)
            )
    keep_deviations(environment.pk, found)
    return found


def largest_deviation(ratio: FlagRatio) -> float:
    """How far the variant furthest off is, as a share of the users it should have; 0 where that may be chance."""
    if not ratio["warning"] or ratio["expected"] is None or ratio["observed"] is None:
        return 0.0
    observed = ratio["observed"]
    return max(
        (abs(observed.get(key, 0) - users) / users for key, users in ratio["expected"].items() if users), default=0.0
    )

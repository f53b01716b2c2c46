"""An experiment's own split, read from shares and laid out in buckets; and what is wrong with it in its flag."""

from collections.abc import Mapping, Sequence
from typing import Any

from openflagship.engine import DecodeError, buckets_by_variant, decode_flag

from experiments.documents import experiment_section, split_of
from experiments.models import Experiment
from flags.documents import Ranges, allocate, flag_document, percent_of, weights_of
from tenancy.errors import Problem

_ALL = 10_000


def even_split(experiment: Experiment) -> Ranges:
    """Lay `even_weights` out in buckets."""
    return _laid_out(experiment, even_weights(experiment))


def even_weights(experiment: Experiment) -> dict[str, int]:
    """Give each variant of the flag the same share, to the hundredth of a percent; the first ones get the remainder."""
    keys = _variants(experiment)
    share, extra = divmod(_ALL, len(keys))
    return {key: share + (index < extra) for index, key in enumerate(keys)}


def own_split(experiment: Experiment, shares: Sequence[Mapping[str, Any]] | None) -> tuple[Ranges, list[Problem]]:
    """Read `[{variant, percent}]` as the experiment's split, and return its ranges with the problems of the shares.

    None is an even split. A control that is not named gets the rest. Shares that are there already keep their buckets.
    """
    weights, problems = (even_weights(experiment), []) if shares is None else _weights_given(experiment, shares)
    if problems:
        return [], problems
    there = experiment.allocation
    if there is not None and buckets_by_variant(there) == {key: weight for key, weight in weights.items() if weight}:
        return there, []
    return _laid_out(experiment, weights), []


def _weights_given(experiment: Experiment, shares: Sequence[Mapping[str, Any]]) -> tuple[dict[str, int], list[Problem]]:
    given, problems = weights_of([dict(share) for share in shares], variants=_variants(experiment), attr="allocation")
    if problems:
        return {}, problems
    weights, control = dict(given), experiment.control_variant
    rest = _ALL - sum(weights.values())
    if rest and control in {share.get("variant") for share in shares}:
        detail = (
            f"The shares sum to {percent_of(_ALL - rest)} %; bring them to 100 %, or leave {control!r} out: it then "
            "gets the rest."
        )
        return {}, [Problem("allocation", "weights_below_100", detail)]
    weights[control] = weights.get(control, 0) + rest
    return weights, []


def split_problems(experiment: Experiment) -> list[Problem]:
    """The problems of the split as it stands: a comparison needs the control and another variant."""
    attr = "allocation" if experiment.owns_split else "flagKey"
    split, control = split_of(experiment), experiment.control_variant
    taking_part = [variant for variant, weight in split.items() if weight]
    remedy = "the experiment's split" if experiment.owns_split else "the flag's rollout"
    if len(taking_part) < 2:
        detail = f"Everybody would get {taking_part[0]!r}: give at least one more variant a share of {remedy}."
        return [Problem(attr, "invalid_split", detail)]
    if not split[control]:
        detail = f"The control {control!r} gets nobody; leave it a share of {remedy}."
        return [Problem(attr, "invalid_split", detail)]
    return []


def document_problems(experiment: Experiment) -> list[Problem]:
    """Decode the flag's document with the experiment in it, so that the engine's own rules apply."""
    document = flag_document(experiment.config)
    document["experiment"] = {**experiment_section(experiment), "status": Experiment.Status.RUNNING}
    try:
        decode_flag(document)
    except DecodeError as error:
        return [
            Problem(_as_sent(found.path), found.code, found.message)
            for found in error.problems
            if found.path.startswith(("experiment.", "bucketBy"))
        ]
    return []


def _as_sent(path: str) -> str:
    return "flagKey" if path.startswith("bucketBy") else path.removeprefix("experiment.")


def _variants(experiment: Experiment) -> list[str]:
    return [variant["key"] for variant in experiment.config.flag.variants]


def _laid_out(experiment: Experiment, weights: Mapping[str, int]) -> Ranges:
    """Lay the shares out so that the fewest users move from what the flag's rollout serves them."""
    wanted = [(key, weights[key]) for key in _variants(experiment) if weights.get(key)]
    return allocate(experiment.config.allocation, wanted)

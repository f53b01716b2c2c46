"""Experiments that others have published, as cases for us and our peers; `--data FOLDER` names where their files are.

The files are not ours to give away. Each is known by the name under which it is found in public:

- `cookie_cats.csv`: a mobile game's gate at level 30 or 40 (90,189 players; retention, rounds played);
- `AdSmartABdata.csv`: an advertisement with a question (8,077 people; whoever answered, and with yes);
- `WA_Marketing-Campaign.csv`: promotions of a chain of restaurants (sales of each place);
- `result_control.csv` and `result_experiment.csv`: Udacity's question before a free trial (clicks, enrolments).
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ALPHA = 0.05
Case = tuple[str, dict[str, Any]]
Arms = dict[str, list[dict[str, str]]]


def cases(folder: Path) -> dict[str, list[Case]]:
    """Data set to its cases: method and inputs, as the known-answer cases have them. Raises OSError for no file."""
    return {
        "Cookie Cats": list(_cookie_cats(_arms(folder / "cookie_cats.csv", "version"))),
        "AdSmart": list(_adsmart(_arms(folder / "AdSmartABdata.csv", "experiment"))),
        "Fast food": list(_fast_food(_arms(folder / "WA_Marketing-Campaign.csv", "Promotion"))),
        "Udacity": list(_udacity(_days(folder / "result_control.csv"), _days(folder / "result_experiment.csv"))),
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _arms(path: Path, column: str) -> Arms:
    arms: Arms = defaultdict(list)
    for row in _rows(path):
        arms[row[column]].append(row)
    return arms


def _days(path: Path) -> list[dict[str, str]]:
    """The days on which enrolments were counted, and not the empty lines after them."""
    return [row for row in _rows(path) if row["Enrollments"]]


def _cookie_cats(arms: Arms) -> Iterator[Case]:
    control, treatment = arms["gate_30"], arms["gate_40"]
    yield "srm_test", {"counts": [len(control), len(treatment)], "weights": [0.5, 0.5]}
    for name in ("retention_1", "retention_7"):
        x_c, x_t = (sum(row[name].upper() == "TRUE" for row in arm) for arm in (control, treatment))
        yield from _rates(x_c, len(control), x_t, len(treatment))
    yield from _means(*([float(row["sum_gamerounds"]) for row in arm] for arm in (control, treatment)))


def _adsmart(arms: Arms) -> Iterator[Case]:
    control, treatment = arms["control"], arms["exposed"]
    yield "srm_test", {"counts": [len(control), len(treatment)], "weights": [0.5, 0.5]}
    yes_c, yes_t = (sum(int(row["yes"]) for row in arm) for arm in (control, treatment))
    asked_c, asked_t = (sum(int(row["yes"]) + int(row["no"]) for row in arm) for arm in (control, treatment))
    yield from _rates(asked_c, len(control), asked_t, len(treatment))
    yield from _rates(yes_c, asked_c, yes_t, asked_t)


def _fast_food(arms: Arms) -> Iterator[Case]:
    sales = {arm: [float(row["SalesInThousands"]) for row in rows] for arm, rows in arms.items()}
    for arm in sorted(sales.keys() - {"1"}):
        yield from _means(sales["1"], sales[arm])


def _udacity(control: list[dict[str, str]], experiment: list[dict[str, str]]) -> Iterator[Case]:
    def total(days: list[dict[str, str]], name: str) -> int:
        return sum(int(day[name]) for day in days)

    for name in ("Enrollments", "Payments"):
        yield from _rates(
            total(control, name), total(control, "Clicks"), total(experiment, name), total(experiment, "Clicks")
        )
    # By day, as a ratio of what differs between days.
    pairs = []
    for days in (control, experiment):
        y, x = (np.array([float(day[name]) for day in days]) for name in ("Enrollments", "Clicks"))
        sums = {"sum_y": y, "sum_x": x, "sum_yy": y * y, "sum_xx": x * x, "sum_xy": x * y}
        pairs.append({"n": len(days)} | {name: float(values.sum()) for name, values in sums.items()})
    yield "ratio_test", {"control": pairs[0], "treatment": pairs[1], "alpha": ALPHA}


def _rates(x_c: int, n_c: int, x_t: int, n_t: int) -> Iterator[Case]:
    rate = {"x_c": x_c, "n_c": n_c, "x_t": x_t, "n_t": n_t}
    yield "prop_test", rate
    for method in ("wald", "newcombe"):
        yield "prop_ci", rate | {"alpha": ALPHA, "method": method}
    for method in ("log", "koopman"):
        yield "prop_rel_ci", rate | {"alpha": ALPHA, "method": method}


def _means(control: list[float], treatment: list[float]) -> Iterator[Case]:
    yield "welch_values", {"control": control, "treatment": treatment, "alpha": ALPHA}
    arrays = [np.array(control), np.array(treatment)]
    sums = [{"n": a.size, "sum": float(a.sum()), "sumsq": float((a * a).sum())} for a in arrays]
    for method in ("welch_test", "mean_rel_ci"):
        yield method, {"control": sums[0], "treatment": sums[1], "alpha": ALPHA}

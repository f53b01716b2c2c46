"""What the statistics promise, measured: `python -m benchmarks.statistics [--runs 20000] [--peers] [--data FOLDER]`.

Seeded simulations of error rates, coverage and alarms; the speed of a thousand analyses; with `--peers` the same
figures from gbstats, statsmodels, tea-tasting and spotify-confidence, in an environment of their own. `--data` compares
with them on published experiments instead (`public_data`), and simulates nothing.
Rewrites its own section of benchmarks/RESULTS.md and the plots beside it, and exits with 1 where a promise is missed.
"""

import argparse
import json
import os
import platform
import subprocess
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from benchmarks.statistics import decisions, plots, public_data, simulations
from benchmarks.world import PLOTS, ROOT, report
from experiments.statistics import (
    always_valid,
    bayes,
    cuped,
    group_sequential,
    guardrails,
    means,
    multiplicity,
    proportions,
    quantiles,
    ratios,
    srm,
)
from experiments.statistics.simulation import Outcome
from experiments.statistics.summaries import Moments, PairedMoments, Proportion
from experiments.tests.statistics_adapter import ADAPTER

PEERS = ROOT / "var" / "bench" / "venv"
# gbstats holds them all to numpy 1 and pandas 1, so they have an environment of their own.
PEER_PINS = (
    "gbstats==0.8.0",
    "statsmodels==0.15.0",
    "tea-tasting==1.14.0",
    "spotify-confidence==4.1.0",
    "numpy==1.26.4",
    "pandas==1.5.3",
    "pyarrow==17.0.0",
)
SEED = 20250301


def _experiment(rng: np.random.Generator) -> dict[str, Any]:
    """One experiment's summaries: two arms, a rate, three means with their past, a ratio, a quantile, 14 days."""
    n = [int(users) for users in rng.integers(5_000, 50_000, 2)]

    def pair(users: int) -> PairedMoments:
        spread = users * float(rng.uniform(20, 30))
        covariation = spread * float(rng.uniform(0.3, 0.7))
        return PairedMoments(users, float(rng.uniform(9, 11)), float(rng.uniform(9, 11)), spread, spread, covariation)

    def quantile(users: int) -> quantiles.QuantileSummary:
        q_hat = float(rng.uniform(390, 410))
        nested = PairedMoments(users, 3.8, 4.0, 3.0 * users, 3.2 * users, 3.0 * users)
        return quantiles.QuantileSummary(4 * users, q_hat, q_hat - 5, q_hat + 5, nested)

    return {
        "days": rng.multinomial(sum(n) // 14, [0.5, 0.5], 14).tolist(),
        "rate": [Proportion(int(rng.binomial(users, 0.1)), users) for users in n],
        "means": [[pair(users) for users in n] for _ in range(3)],
        "ratio": [pair(users) for users in n],
        "quantile": [quantile(users) for users in n],
        # Traffic differs by day, so no two experiments share their information fractions or a cached boundary.
        "looks": ((np.arange(1, 15) + rng.uniform(-0.3, 0.0, 14)) / 14).tolist()[: int(rng.integers(1, 15))],
    }


def analyse(experiment: dict[str, Any]) -> list[Any]:
    """Everything a result page shows for one experiment."""
    rate: list[Proportion] = experiment["rate"]
    test, interval = proportions.proportion_test(*rate), proportions.proportion_interval(*rate)
    lift, posterior = proportions.proportion_lift(*rate), bayes.proportion_posterior(*rate)
    bound = group_sequential.boundaries(experiment["looks"]).z[-1]
    se = proportions.unpooled_se(*rate)
    users = rate[0].users + rate[1].users
    figures: list[Any] = [test, interval, lift, posterior]
    figures.append(group_sequential.repeated_interval(interval.diff, se, bound))
    figures.append(always_valid.asymptotic_sequence(interval.diff, se, users, n_tune=users))
    secondary = []
    for pair in experiment["means"]:
        plain: list[Moments] = [arm.y for arm in pair]
        adjusted = cuped.cuped_test(*pair)
        figures += [means.welch_test(*plain), means.mean_lift(*plain), adjusted]
        figures.append(guardrails.noninferiority_lift(*plain, 0.02, higher_is_better=True))
        secondary.append(adjusted.p_value)
    ratio = ratios.ratio_test(*experiment["ratio"])
    quantile = quantiles.quantile_test(*experiment["quantile"], 0.95)
    secondary += [ratio.p_value, quantile.p_value]
    figures += [ratio, quantile, quantiles.quantile_lift(*experiment["quantile"], 0.95)]
    figures += [multiplicity.holm([test.p_value]), multiplicity.benjamini_hochberg(secondary)]
    figures.append(srm.srm_test([arm.users for arm in rate], [0.5, 0.5]))
    figures.append(srm.srm_monitor(experiment["days"], [0.5, 0.5]))
    return figures


def speed(rng: np.random.Generator) -> tuple[float, int]:
    """Seconds of one core for 1,000 experiments, whatever else the machine does, and figures computed."""
    experiments = [_experiment(rng) for _ in range(1000)]
    started = time.process_time()
    count = sum(len(analyse(experiment)) for experiment in experiments)
    return time.process_time() - started, count


def peer_cases(rng: np.random.Generator, repeats: int = 40) -> list[dict[str, Any]]:
    """Random inputs, in the known-answer cases' own shape, for every method a peer has too."""
    cases: list[dict[str, Any]] = []
    for _ in range(repeats):
        n_c, n_t = (int(n) for n in rng.integers(500, 50_000, 2))
        x_c, x_t = int(rng.binomial(n_c, 0.1)), int(rng.binomial(n_t, 0.104))
        rate = {"x_c": x_c, "n_c": n_c, "x_t": x_t, "n_t": n_t}
        values = [rng.normal(10, 4, 200), rng.normal(10.3, 5, 260)]
        sums = [{"n": v.size, "sum": float(v.sum()), "sumsq": float((v * v).sum())} for v in values]
        mean = {"control": sums[0], "treatment": sums[1], "alpha": 0.05}
        pairs = []
        for size in (300, 350):
            x = rng.poisson(5, size) + 1.0
            y = 0.3 * x + rng.normal(0, 1, size)
            names = ("sum_y", "sum_x", "sum_yy", "sum_xx", "sum_xy")
            totals = (float(total.sum()) for total in (y, x, y * y, x * x, x * y))
            pairs.append({"n": size} | dict(zip(names, totals, strict=True)))
        pair = {"control": pairs[0], "treatment": pairs[1], "alpha": 0.05}
        arms = [{"n": 4000, "q_hat": q, "q_low": q - 9, "q_high": q + 11} for q in rng.uniform(390, 410, 2).tolist()]
        clusters = {"n_clusters": 1000, "sum_s": 3600.0, "sum_n": 4000.0}
        clusters |= {"sum_ss": 15_000.0, "sum_nn": 18_000.0, "sum_sn": 16_300.0}
        welch = ADAPTER["welch_test"](**mean)
        lift = ADAPTER["mean_rel_ci"](**mean)
        users = sums[0]["n"] + sums[1]["n"]
        sequence = {"estimate": welch["diff"], "se": welch["se"], "n": users, "n_tune": 5000, "alpha": 0.05}
        posterior = {"diff": lift["lift"], "se": lift["se"], "prior_var": 0.0025, "alpha": 0.05}
        p_values = rng.beta(0.5, 2, 8).tolist()
        margin = {"margin": 0.004, "higher_is_better": bool(rng.random() < 0.5), "alpha": 0.05}
        cases += [
            _case("srm_test", {"counts": [n_c, n_c + x_c], "weights": [0.5, 0.5]}),
            _case("prop_test", rate),
            _case("prop_ci", rate | {"alpha": 0.05, "method": "wald"}),
            _case("prop_ci", rate | {"alpha": 0.05, "method": "newcombe"}),
            _case("prop_rel_ci", rate | {"alpha": 0.05, "method": "log"}),
            _case("prop_rel_ci", rate | {"alpha": 0.05, "method": "koopman"}),
            _case("welch_test", mean),
            _case("welch_values", {"control": values[0].tolist(), "treatment": values[1].tolist(), "alpha": 0.05}),
            _case("mean_rel_ci", mean),
            _case("ratio_test", pair),
            _case("cuped_test", pair),
            _case("quantile_diff", {"control": arms[0], "treatment": arms[1], "q": 0.95, "alpha": 0.05}),
            _case(
                "quantile_diff",
                {"control": arms[0] | clusters, "treatment": arms[1] | clusters, "q": 0.95, "alpha": 0.05},
            ),
            _case("asymp_cs", sequence, mean | {"n_tune": 5000}),
            _case("bayes_normal", posterior, mean | {"prior_var": 0.0025}),
            _case("adjust_pvalues", {"p_values": p_values, "method": "holm"}),
            _case("adjust_pvalues", {"p_values": p_values, "method": "bh"}),
            _case("sample_size_prop", {"p_control": 0.1, "p_treatment": 0.11, "alpha": 0.05, "power": 0.8}),
            _case("power_mean", {"sd": 12, "mde": 0.4, "n_control": n_c, "n_treatment": n_t, "alpha": 0.05}),
            _case("noninferiority_prop", rate | margin),
        ]
    return cases


def _case(method: str, ours: dict[str, Any], theirs: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"method": method, "ours": ours, "inputs": ours if theirs is None else theirs}


def compare_with_peers(cases: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[int, float]]:
    """(peer, method): figures compared, and the largest difference, relative to figures above 0.001."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        venv.create(PEERS, with_pip=True)
    installed = subprocess.run(
        [python, "-c", "import gbstats, spotify_confidence, statsmodels, tea_tasting"], capture_output=True, check=False
    )
    if installed.returncode:
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEER_PINS], check=True)
    # As a file: the package refuses an environment with other versions than those that are shipped.
    command = [python, ROOT / "benchmarks" / "statistics" / "peers.py"]
    answer = subprocess.run(command, cwd=ROOT, input=json.dumps(cases), capture_output=True, text=True, check=True)
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for case, answers in zip(cases, json.loads(answer.stdout), strict=True):
        ours = ADAPTER[case["method"]](**case["ours"])
        for peer, figures in answers.items():
            count, worst = found.get((peer, case["method"]), (0, 0.0))
            for name, theirs in figures.items():
                left, right = np.atleast_1d(ours[name]), np.atleast_1d(theirs)
                worst = max(worst, float(np.max(np.abs(left - right) / np.maximum(np.abs(right), 1e-3))))
                count += right.size
            found[peer, case["method"]] = (count, worst)
    return found


def _checks_table(checks: list[simulations.Check]) -> list[str]:
    lines = ["| what | case | measured | promise | met |", "|---|---|---|---|---|"]
    for check in checks:
        sign = "at most" if check.at_most else "at least"
        promise = "" if check.limit is None else f"{sign} {100 * check.limit:g} %"
        met = "" if check.limit is None else ("yes" if check.is_met else "**no**")
        measured = f"{100 * check.measured:.2f} % ± {100 * check.error:.2f}"
        lines.append(f"| {check.group} | {check.name} | {measured} | {promise} | {met} |")
    return lines


def _outcomes_table(null: dict[str, Outcome], effect: dict[str, Outcome]) -> list[str]:
    lines = [
        "| method | false positives | power | mean stop day | mean estimate when it claims |",
        "|---|---|---|---|---|",
    ]
    for name, outcome in effect.items():
        estimate = outcome.mean_claimed_effect or 0.0
        lines.append(
            f"| {name} | {100 * null[name].claim_rate:.2f} % | {100 * outcome.claim_rate:.1f} % "
            f"| {outcome.mean_stop_day:.1f} | {100 * estimate:.2f} points |"
        )
    return lines


def compare_published(folder: Path) -> int:
    """Our figures beside the peers' on published experiments; 1 where they differ by more than 1e-6."""
    lines, worst = ["## Statistics on published experiments", ""], 0.0
    lines += ["`python -m benchmarks.statistics --data FOLDER`, largest relative difference (promise: 1e-6):", ""]
    lines += ["| experiment | peer | figures | largest difference |", "|---|---|---|---|"]
    for name, known in public_data.cases(folder).items():
        peers: dict[str, tuple[int, float]] = {}
        for (peer, _), (count, gap) in compare_with_peers([_case(*each) for each in known]).items():
            figures, largest = peers.get(peer, (0, 0.0))
            peers[peer] = (figures + count, max(largest, gap))
        lines += [f"| {name} | {peer} | {count} | {gap:.1e} |" for peer, (count, gap) in sorted(peers.items())]
        worst = max([worst, *(gap for _, gap in peers.values())])
    report("statistics_published", lines)
    return 0 if worst <= 1e-6 else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20_000, help="replications of each simulation")
    parser.add_argument("--peers", action="store_true", help="compare with four other packages too")
    parser.add_argument("--data", type=Path, help="a folder with published experiments (see public_data)")
    options = parser.parse_args()
    if options.data:
        return compare_published(options.data)
    rng = np.random.default_rng(SEED)
    started = time.perf_counter()
    checks = simulations.fixed_horizon(rng, options.runs)
    daily, null, effect = simulations.daily_looks(options.runs)
    hundred, curves = simulations.hundred_looks(rng, options.runs)
    covered = simulations.coverage(rng, options.runs)
    checks += [*daily, *hundred, *covered, *simulations.alarms(rng, options.runs)]
    checks += decisions.all_checks(rng, options.runs)
    reductions, is_square = simulations.variance_reduction(rng)
    simulated = time.perf_counter() - started
    seconds, figures = speed(rng)
    peers = compare_with_peers(peer_cases(rng)) if options.peers else {}
    draw(null, curves, covered)
    worst = max((difference for _, difference in peers.values()), default=0.0)
    is_met = all(check.is_met for check in checks) and is_square and seconds < 5 and worst <= 1e-6
    lines = [
        "## Statistics",
        "",
        f"`python -m benchmarks.statistics --runs {options.runs}{' --peers' if options.peers else ''}`, seed {SEED}, "
        f"{simulated:.0f} s of simulation; slow cases take a quarter of the runs. Python {platform.python_version()}, "
        f"numpy {np.__version__}, scipy {scipy.__version__}, {os.cpu_count()} cores shared "
        f"(load {os.getloadavg()[0]:.1f}). A promise counts as met within three simulation errors (after ±).",
        "",
        *_checks_table(checks),
        "",
        "14 daily looks at a 10 % conversion rate, sized for 80 % power at +1 point with one look:",
        "",
        *_outcomes_table(null, effect),
        "",
        "![False positives by day](plots/statistics_daily_looks.svg)",
        "![False positives by look](plots/statistics_hundred_looks.svg)",
        "![Coverage](plots/statistics_coverage.svg)",
        "",
        "CUPED, variance taken away by correlation with the past (promise: its square): "
        + ", ".join(f"{correlation:g}: {100 * share:.1f} %" for correlation, share in reductions)
        + ".",
        "",
        f"1,000 experiments' summaries, {figures // 1000} results each (a rate, three means with CUPED and a guardrail "
        f"each, a ratio, a quantile, a sequential look, SRM over 14 days): **{seconds:.2f} s** "
        "of one core (promise: under 5 s).",
    ]
    if peers:
        lines += ["", "Side by side, random inputs, largest relative difference (promise: 1e-6):", ""]
        lines += ["| peer | method | figures | largest difference |", "|---|---|---|---|"]
        lines += [f"| {peer} | {method} | {n} | {gap:.1e} |" for (peer, method), (n, gap) in sorted(peers.items())]
    report("statistics", lines)
    return 0 if is_met else 1


def draw(null: dict[str, Outcome], curves: dict[str, np.ndarray], covered: list[simulations.Check]) -> None:
    PLOTS.mkdir(exist_ok=True)
    names = {"peeking": "fixed, read daily", "obf": "O'Brien-Fleming", "pocock": "Pocock"}
    names["always_valid"] = "conf. sequence"
    daily = {}
    for name, label in names.items():
        stops = np.array(null[name].stop_days)
        # Runs that never claim are booked on the last day, so that day's bar holds them too.
        running = stops.cumsum()
        running[-1] = null[name].claim_rate
        daily[label] = running.tolist()
    plots.line_chart(
        PLOTS / "statistics_daily_looks.svg",
        "A/A experiments called by day, 14 daily looks",
        ("day", "false positives so far"),
        daily,
        target=0.05,
    )
    short = {"asymptotic confidence sequence": "conf. sequence", "O'Brien-Fleming spending": "O'Brien-Fleming"}
    plots.line_chart(
        PLOTS / "statistics_hundred_looks.svg",
        "A/A experiments called by look, 100 looks",
        ("look", "false positives so far"),
        {short.get(name, name): curve.tolist() for name, curve in curves.items()},
        target=0.05,
    )
    plots.dot_chart(
        PLOTS / "statistics_coverage.svg",
        "Coverage of 95 % intervals",
        "share that holds the truth, with three simulation errors",
        {check.name: (check.measured, check.error) for check in covered},
        low=0.93,
        high=0.99,
        target=0.95,
    )

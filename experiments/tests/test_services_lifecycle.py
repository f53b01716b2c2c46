"""Start, pause, resume, restart, complete: state, phases, the flag's document, the audit row, the signal."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from openflagship.engine import Context

from analytics.models import ExposurePhase
from audit.models import Entry
from experiments import services
from experiments.models import Experiment, Phase
from experiments.signals import experiment_changed
from experiments.tests.conftest import HALF, START
from flags.models import Change, FlagConfig
from flags.propagation.runtime import load_environment
from flags.services import kill_flag, update_flag
from tenancy.errors import Conflict, Invalid
from tenancy.testing import ALICE


def _codes(refused):
    return [(problem.attr, problem.code) for problem in refused.value.problems]


def _served(environment, user_id="someone"):
    return load_environment(environment.pk).evaluate("new-checkout", Context(user_id, {}))


@pytest.fixture
def act(environment):
    def _act(verb, experiment, **options):
        return getattr(services, f"{verb}_experiment")(
            actor=ALICE, environment=environment, pk=experiment.pk, **options
        )

    return _act


@pytest.fixture
def announced():
    heard = []

    def listen(*, change, **_):
        heard.append(change)

    experiment_changed.connect(listen)
    yield heard
    experiment_changed.disconnect(listen)


def test_start_experiment__works(environment, make_experiment, act, announced):
    experiment, preflight = act("start", make_experiment(), reason="go")

    phase = experiment.phases.get()
    environment.refresh_from_db()
    assert (experiment.status, phase.number, phase.ended_at) == ("running", 1, None)
    assert phase.weights == {"control": 5000, "treatment": 5000}
    assert phase.config_version == environment.config_version
    answer = _served(environment)
    assert (answer.reason, answer.experiment) == ("EXPERIMENT", experiment.key)
    assert Entry.objects.get(action="experiment.started").reason == "go"
    assert announced == ["started"]
    assert any("Nobody evaluated this flag" in warning for warning in preflight.warnings)


def test_start_experiment__dated_back__began_then(make_experiment, act):
    experiment, _ = act("start", make_experiment(), at=START)

    assert experiment.started_at == experiment.phases.get().started_at == START


def test_start_experiment__dated_ahead__is_refused(make_experiment, act):
    with pytest.raises(Invalid):
        act("start", make_experiment(), at=timezone.now() + timedelta(hours=1))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"enabled": False}, "flag_off"),
        ({"rollout": []}, "invalid_split"),
        ({"rollout": [{"variant": "treatment", "percent": 100}]}, "invalid_split"),
    ],
)
def test_start_experiment__nothing_to_compare__is_refused_in_words(environment, make_experiment, act, change, code):
    """The split is the flag's here, as of experiments from before they owned theirs."""
    experiment = make_experiment()
    Experiment.objects.update(allocation=None)
    update_flag(actor=ALICE, environment=environment, key="new-checkout", payload=change, version=None)
    with pytest.raises(Invalid) as refused:
        act("start", experiment)

    assert code in {found for _, found in _codes(refused)}
    assert Experiment.objects.get().status == "draft"


def test_start_experiment__flag_is_killed__is_refused(environment, make_experiment, act):
    experiment = make_experiment()
    kill_flag(actor=ALICE, environment=environment, key="new-checkout")
    with pytest.raises(Invalid) as refused:
        act("start", experiment)

    assert _codes(refused) == [("flagKey", "flag_killed")]


def test_start_experiment__another_runs_on_the_flag__is_refused(make_experiment, running, act):
    with pytest.raises(Conflict) as refused:
        act("start", make_experiment(name="Second"))

    assert _codes(refused) == [("flagKey", "experiment_conflict")]


def test_running__split_of_the_flag__is_locked(environment, running):
    with pytest.raises(Conflict) as refused:
        update_flag(
            actor=ALICE,
            environment=environment,
            key="new-checkout",
            payload={"rollout": [{"variant": "treatment", "percent": 60}]},
            version=None,
        )

    assert _codes(refused) == [("rollout", "rollout_conflict")]


def test_pause_experiment__goes_on_serving_and_notes_the_pause(environment, running, act, announced):
    before = _served(environment).variant
    paused = act("pause", running)

    assert paused.status == "paused"
    assert (_served(environment).variant, _served(environment).reason) == (before, "EXPERIMENT")
    ((since, until),) = Phase.objects.get().pauses
    assert (datetime.fromisoformat(since).tzinfo, until) == (UTC, None)
    assert announced == ["paused"]


def test_pause_experiment__again__changes_nothing(running, act):
    paused = act("pause", running)
    again = act("pause", running)

    assert (again.version, Entry.objects.filter(action="experiment.paused").count()) == (paused.version, 1)


def test_resume_experiment__ends_the_pause(running, act):
    act("pause", running)
    resumed = act("resume", running)

    ((since, until),) = Phase.objects.get().pauses
    assert resumed.status == "running"
    assert since <= until


def test_resume_experiment__its_end_is_past__forgets_the_end(running, act):
    Experiment.objects.update(ends_at=START + timedelta(days=1))
    act("pause", running)

    assert act("resume", running).ends_at is None


def test_restart_experiment__opens_a_phase_with_a_new_salt(environment, running, act):
    salt = FlagConfig.objects.get().salt
    restarted = act("restart", running)

    first, second = restarted.phases.all()
    assert (first.ended_at, second.ended_at) == (second.started_at, None)
    assert first.salt == salt == "new-checkout"
    assert second.salt == FlagConfig.objects.get().salt != salt
    assert restarted.layer_salt == running.layer_salt
    opened = ExposurePhase.objects.filter(experiment=running.key).order_by("started_at")
    assert [phase.started_at for phase in opened] == [first.started_at, second.started_at]
    moved = [user for user in map(str, range(200)) if _served(environment, user).variant == "treatment"]
    assert 60 < len(moved) < 140


def test_restart_experiment__new_split__has_weights_of_its_own(environment, running, act):
    restarted = act("restart", running, changes={"rollout": [{"variant": "treatment", "percent": 20}]})

    assert [phase.weights["treatment"] for phase in restarted.phases.all()] == [5000, 2000]
    assert FlagConfig.objects.get().experiment["id"] == running.key


def test_restart_experiment__split_without_a_control__changes_nothing(environment, running, act):
    with pytest.raises(Invalid) as refused:
        act("restart", running, changes={"rollout": [{"variant": "treatment", "percent": 100}]})

    assert _codes(refused) == [("allocation", "invalid_split")]


@pytest.mark.parametrize(
    ("decision", "variant", "served"),
    [("ship", "treatment", {"treatment"}), ("stop", None, {"control", "treatment"})],
)
def test_complete_experiment__ships_to_everyone_or_gives_what_the_others_get(  # noqa: PLR0917 - fixtures and parameters
    environment, running, act, decision, variant, served
):
    completed = act("complete", running, decision=decision, variant=variant, reason="enough")

    assert (completed.status, completed.decision, completed.shipped_variant) == ("completed", decision, variant or "")
    assert completed.phases.get().ended_at == completed.ended_at
    answers = [_served(environment, user) for user in map(str, range(100))]
    assert {answer.variant for answer in answers} == served
    # Half of a rollout; what it leaves uncovered has the default variant.
    assert {answer.reason for answer in answers} <= {"ROLLOUT", "DEFAULT"}
    assert Change.objects.filter(environment=environment).latest("version").document["experiment"] is None
    assert Entry.objects.get(action="experiment.completed").reason == "enough"


@pytest.mark.parametrize(
    ("decision", "variant"), [("ship", None), ("ship", "blue"), ("stop", "treatment"), ("?", None)]
)
def test_complete_experiment__unclear_decision__is_refused(running, act, decision, variant):
    with pytest.raises(Invalid):
        act("complete", running, decision=decision, variant=variant)

    assert Experiment.objects.get().status == "running"


@pytest.mark.parametrize("verb", ["pause", "resume", "restart"])
def test_lifecycle__draft__is_refused(make_experiment, act, verb):
    with pytest.raises(Conflict) as refused:
        act(verb, make_experiment())

    assert _codes(refused) == [("status", "wrong_status")]


def test_start_experiment__stale_version__is_refused(make_experiment, act):
    with pytest.raises(Conflict) as refused:
        act("start", make_experiment(), version=4)

    assert _codes(refused) == [("version", "version_conflict")]


def test_start_experiment__after_completion__another_may_start(environment, make_experiment, running, act):
    act("complete", running, decision="stop")
    update_flag(actor=ALICE, environment=environment, key="new-checkout", payload={"rollout": HALF}, version=None)

    assert act("start", make_experiment(name="Next"))[0].status == "running"

"""An editor of one environment alone: what the console lets such a person do stays in that environment."""

import pytest
from django.urls import reverse

from flags.models import Flag, FlagConfig
from flags.tests.console_documents import change_url, fields, shares
from flags.tests.test_console_flags import config  # noqa: F401 - a fixture
from tenancy.admin.testing import signed_in


@pytest.fixture
def staging_editor(acme, person):
    return signed_in(
        person("editor", acme.organization, "steve", project=acme.staging.project, environment=acme.staging)
    )


def test_edit__own_environment__works(staging_editor, config):  # noqa: F811 - the fixture
    response = staging_editor.post(change_url(config), fields(staging_editor, config, rollout=shares(treatment=50)))

    assert response.status_code == 302
    config.refresh_from_db()
    assert config.allocation == [[0, 5000, "treatment"]]


def test_edit__what_all_environments_share__is_refused_beside_the_form(staging_editor, config):  # noqa: F811 - the fixture
    response = staging_editor.post(change_url(config), fields(staging_editor, config, name="Ours now"))

    assert response.status_code != 302
    assert "editor" in response.content.decode()
    assert Flag.objects.get().name == "new-checkout"


@pytest.mark.parametrize(("act", "status"), [("archive", 403), ("restore", 409)])
def test_act__felt_everywhere__is_refused(staging_editor, config, act, status):  # noqa: F811 - the fixture
    response = staging_editor.post(reverse(f"admin:flags_flagconfig_{act}", args=[config.pk]), {"reason": "mine"})

    assert response.status_code == status
    assert not Flag.objects.get().is_archived


@pytest.mark.parametrize(("page", "more"), [("archive", []), ("rollback", [1])])
def test_page__names_what_others_run__is_for_the_whole_project(staging_editor, config, page, more):  # noqa: F811 - the fixture
    assert staging_editor.get(reverse(f"admin:flags_flagconfig_{page}", args=[config.pk, *more])).status_code == 403


def test_page__acts_that_would_fail__are_not_offered(staging_editor, console_editor, config):  # noqa: F811 - the fixture
    archive = reverse("admin:flags_flagconfig_archive", args=[config.pk])

    assert archive in console_editor.get(change_url(config)).content.decode()
    assert archive not in staging_editor.get(change_url(config)).content.decode()


def test_create__in_a_project_where_one_has_a_single_environment__is_forbidden(staging_editor, acme):
    url = f"{reverse('admin:flags_flagconfig_add')}?environment={acme.staging.pk}"

    assert staging_editor.get(url).status_code == 403
    assert not FlagConfig.objects.exists()


def test_page__what_would_be_refused__is_read_only_with_the_reason(staging_editor, console_editor, config):  # noqa: F811 - the fixture
    reason = "need the role editor in the whole project; yours covers Staging"

    theirs, whole = (client.get(change_url(config)).content.decode() for client in (staging_editor, console_editor))

    assert (theirs.count(reason), whole.count(reason)) == (3, 0)
    assert 'data-add="variant"' not in theirs
    # The name, and the lifecycle.
    assert theirs.count(" disabled>") == whole.count(" disabled>") + 2

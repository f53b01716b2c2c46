"""Organizations, projects and environments over HTTP: what works, who may not, bad input, stale versions, queries."""

import pytest

from audit.models import Entry
from tenancy.models import Environment, Organization, Project, User


def problem(response):
    (found,) = response.json()["errors"]
    return response.status_code, found["attr"], found["code"]


@pytest.fixture
def administrator(environment, person, token):
    user = person("owner", environment.project.organization, "root")
    User.objects.filter(pk=user.pk).update(is_superuser=True)
    return token(user, environment.project.organization)


def test_organizations__administrator_of_the_platform__creates_one(administrator):
    response = administrator.post("organizations", {"slug": "initech", "name": "Initech"})

    assert (response.status_code, response.json()["slug"]) == (201, "initech")
    assert Organization.objects.get(slug="initech").memberships.get().user.username == "root"


def test_organizations__anybody_else__is_403(owner):
    assert problem(owner.post("organizations", {"slug": "x", "name": "X"})) == (403, None, "permission_denied")


def test_organizations__each__sees_its_own(owner, outsider):
    assert [row["slug"] for row in owner.get("organizations").json()["results"]] == ["acme"]
    assert owner.get("organizations/acme").json()["name"] == "Acme"
    assert outsider.get("organizations/acme").status_code == 404


def test_organization__renamed__counts_its_version(admin):
    response = admin.patch("organizations/acme", {"name": "Acme AG", "version": 1})

    assert (response.status_code, response.json()["name"], response.json()["version"]) == (200, "Acme AG", 2)
    assert Entry.objects.get(action="organization.updated").changes[0]["after"] == "Acme AG"
    stale = admin.patch("organizations/acme", {"name": "x", "version": 1})
    assert problem(stale) == (409, "version", "version_conflict")
    assert stale.json()["current"]["name"] == "Acme AG"


def test_organization__with_projects__is_not_deleted(owner):
    status, _, code = problem(owner.delete("organizations/acme"))

    assert (status, code) == (409, "in_use")
    assert Organization.objects.filter(slug="acme").exists()


@pytest.mark.parametrize(
    ("path", "body", "other"),
    [
        ("projects", {"key": "mobile", "name": "Mobile"}, {"name": "Mobiles"}),
        (
            "environments",
            {"key": "staging", "name": "Staging", "isProduction": False, "salt": "s"},
            {"isProduction": True},
        ),
    ],
)
def test_create__key_that_exists__is_200_with_the_same_content_and_409_with_other(admin, path, body, other):
    made = admin.post(path, body, project="web")
    again = admin.post(path, body, project="web")
    different = admin.post(path, {**body, **other}, project="web")

    assert (made.status_code, again.status_code, again.json()) == (201, 200, made.json())
    assert problem(different) == (409, "key", "key_exists")
    assert different.json()["current"] == made.json()


def test_projects__works(admin):
    made = admin.post("projects", {"key": "mobile", "name": "Mobile"})

    assert made.status_code == 201
    assert [row["key"] for row in admin.get("projects").json()["results"]] == ["mobile", "web"]
    assert admin.get("projects/mobile").json() == made.json()
    assert admin.patch("projects/mobile", {"name": "App", "version": 1}).json()["name"] == "App"
    assert admin.delete("projects/mobile").status_code == 204
    assert not Project.objects.filter(key="mobile").exists()
    assert list(Entry.objects.filter(entity_key="mobile").order_by("id").values_list("action", flat=True)) == [
        "project.created", "project.updated", "project.deleted",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "attr", "code"),
    [
        ({"name": "x"}, "key", "required"),
        ({"key": "Bad Key", "name": "x"}, "key", "invalid"),
        ({"key": "ok", "name": ""}, "name", "blank"),
        ({"key": "ok", "name": "x" * 201}, "name", "max_length"),
        ({"key": "ok", "name": "x", "nonsense": 1}, "nonsense", "unknown_field"),
    ],
)
def test_projects__bad_input__is_400_naming_the_field(admin, body, attr, code):
    assert problem(admin.post("projects", body)) == (400, attr, code)


def test_projects__key_taken__is_409(admin):
    assert problem(admin.post("projects", {"key": "web", "name": "x"})) == (409, "key", "key_exists")


def test_environments__works(admin, make_flag):
    make_flag("a")
    made = admin.post("environments", {"key": "qa", "name": "QA", "isProduction": False, "salt": "q"}, project="web")

    assert made.status_code == 201
    assert (made.json()["salt"], made.json()["configVersion"]) == ("q", 1)
    assert [row["key"] for row in admin.get("environments").json()["results"]] == ["production", "qa"]
    changed = admin.patch("environments/qa", {"name": "Quality", "isProduction": True, "version": 1})
    assert (changed.json()["name"], changed.json()["isProduction"]) == ("Quality", True)
    assert admin.delete("environments/qa").status_code == 204
    assert not Environment.objects.filter(key="qa").exists()


def test_environments__another_salt__is_409(admin):
    response = admin.patch("environments/production", {"salt": "new", "version": 1})

    assert problem(response) == (409, "salt", "salt_fixed")


def test_environments__with_a_live_key__is_not_deleted(admin, environment):
    made = admin.post("credentials", {"kind": "server", "name": "checkout", "environment": "production"})
    refused = admin.delete("environments/production")
    admin.delete(f"credentials/{made.json()['id']}")

    assert problem(refused) == (409, None, "in_use")
    assert "checkout" in refused.json()["errors"][0]["detail"]
    assert admin.delete("environments/production").status_code == 204


@pytest.mark.parametrize(
    ("method", "path"),
    [("patch", "projects/web"), ("delete", "projects/web"), ("patch", "environments/production"),
     ("delete", "environments/production"), ("get", "projects/web"), ("get", "environments/production")],
)  # fmt: skip
def test_every_route__outsider__never_reaches_ours(outsider, environment, method, path):
    """The outsider has things of the same names: only theirs may change."""
    outsider.send(method, path, None if method != "patch" else {"name": "stolen", "version": 1})

    environment.refresh_from_db()
    assert (environment.name, environment.project.name) == ("Production", "Web")


@pytest.mark.parametrize("path", ["organizations", "projects", "environments", "members", "credentials", "audit"])
def test_lists__more_rows__take_the_same_queries(admin, project, person, path, django_assert_max_num_queries):
    for number in range(4):
        admin.post("projects", {"key": f"p{number}", "name": "P"})
        admin.post("environments", {"key": f"e{number}", "name": "E"}, project="web")
        admin.post("credentials", {"kind": "server", "name": "x", "project": "web", "environment": f"e{number}"})
        person("viewer", project.organization, f"v{number}")
    with django_assert_max_num_queries(6):
        assert admin.get(path).status_code == 200

"""Flags over HTTP: what works, what an outsider sees, what wrong input gets, and how many queries it takes."""

import pytest

from flags.models import Flag, FlagConfig

RULE = {
    "priority": 10,
    "name": "Pro in the US",
    "variant": "treatment",
    "conditions": [{"attribute": "country", "operator": "equals", "value": "US"}],
}
# Everything but reading and writing the flag itself: who calls, which environment, which role.
DOOR_QUERIES = 3


def _problem(response):
    (problem,) = response.json()["errors"]
    return response.status_code, problem["attr"], problem["code"]


def test_create__works(editor, environment):
    response = editor.post(
        "flags",
        {"key": "new-checkout", "enabled": True, "rules": [RULE], "rollout": [{"variant": "treatment", "percent": 50}]},
    )

    body = response.json()
    assert response.status_code == 201
    (rule,) = body["rules"]
    assert {**rule, "id": None} == {**RULE, "id": None}
    assert body["rollout"] == [{"variant": "treatment", "percent": 50}]
    assert (body["status"], body["enabled"], body["version"], body["killSwitchVariant"]) == ("active", True, 1, None)
    assert body["createdAt"].endswith("Z")


def test_create__same_again__is_200_with_what_is_there(editor):
    first = editor.post("flags", {"key": "a", "rules": [RULE]})
    again = editor.post("flags", {"key": "a", "rules": [RULE]})

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


def test_create__what_was_read__is_200(editor):
    body = editor.post(
        "flags", {"key": "a", "rules": [RULE], "rollout": [{"variant": "control", "percent": 1.5}]}
    ).json()

    assert editor.post("flags", body).status_code == 200


def test_create__same_key_other_body__is_409_with_what_is_there(editor):
    editor.post("flags", {"key": "a"})
    response = editor.post("flags", {"key": "a", "description": "other"})

    assert _problem(response) == (409, "key", "key_exists")
    assert response.json()["current"]["key"] == "a"


@pytest.mark.parametrize(
    ("body", "attr", "code"),
    [
        ({}, "key", "required"),
        ({"key": "a b"}, "key", "invalid_key"),
        ({"key": "evaluate"}, "key", "reserved_key"),
        ({"key": "a", "type": "colour"}, "type", "invalid_choice"),
        ({"key": "a", "enabled": "maybe"}, "enabled", "invalid"),
        ({"key": "a", "nonsense": 1}, "nonsense", "unknown_field"),
        ({"key": "a", "rollout": [{"variant": "blue", "percent": 5}]}, "rollout[0].variant", "unknown_variant"),
        ({"key": "a", "rules": [{"variant": "control"}]}, "rules[0].priority", "required"),
        ({"key": "a", "name": "nul \x00"}, "name", "null_characters_not_allowed"),
        ({"key": "a", "metadata": {"x": "nul \x00"}}, "metadata.x", "null_characters_not_allowed"),
        ({"key": "a", "tags": ["x", "x" * 61]}, "tags[1]", "max_length"),
        (b"[1]", None, "invalid_type"),
        (b"{", None, "parse_error"),
        (b'"\xff"', None, "parse_error"),
    ],
)
def test_create__bad_input__is_400_naming_the_field(editor, body, attr, code):
    assert _problem(editor.post("flags", body)) == (400, attr, code)
    assert not Flag.objects.exists()


def test_read__takes_few_queries(viewer, make_flag, django_assert_num_queries):
    make_flag("a", rules=[RULE])
    with django_assert_num_queries(DOOR_QUERIES + 2):
        assert viewer.get("flags/a").status_code == 200


def test_patch__works(editor, make_flag):
    make_flag("a", description="kept", rules=[RULE])
    response = editor.patch("flags/a", {"version": 1, "enabled": False})

    body = response.json()
    assert response.status_code == 200
    assert (body["enabled"], body["description"], len(body["rules"]), body["version"]) == (False, "kept", 1, 2)


@pytest.mark.parametrize(
    ("payload", "changed"),
    [
        ({"metadata": {"beta": 1}}, {"metadata": {"beta": True}}),
        (
            {"type": "json", "variants": [{"key": "a", "value": {"x": 0}}, {"key": "b", "value": {}}]},
            {"variants": [{"key": "a", "value": {"x": False}}, {"key": "b", "value": {}}]},
        ),
        (
            {"rules": [{**RULE, "conditions": [{"attribute": "n", "operator": "equals", "value": 1}]}]},
            {"rules": [{**RULE, "conditions": [{"attribute": "n", "operator": "equals", "value": True}]}]},
        ),
    ],
)
def test_patch__true_for_one__is_a_change(editor, make_flag, payload, changed):
    rules = make_flag("a", **payload).rules.all()
    sent = {**changed, "rules": [{**changed["rules"][0], "id": str(rules[0].pk)}]} if rules else changed
    body = editor.patch("flags/a", {"version": 1, **sent}).json()

    # Python takes true for 1; JSON, evaluators and whoever reads the audit log do not.
    (name,) = changed
    assert str(body[name]) == str(editor.get("flags/a").json()[name])
    assert "True" in str(body[name]) or "False" in str(body[name])
    assert name in [
        change["path"].split(".")[0] for change in editor.get("flags/a/audit").json()["results"][0]["changes"]
    ]


def test_put__what_is_not_named__returns_to_its_default(editor, make_flag):
    make_flag("a", description="gone", rules=[RULE])
    body = editor.put("flags/a", {"version": 1, "enabled": True}).json()

    assert (body["enabled"], body["description"], body["rules"]) == (True, "", [])


def test_put__what_was_read__changes_nothing_but_the_version(editor, make_flag):
    make_flag("a", rules=[RULE], rollout=[{"variant": "treatment", "percent": 33.33}])
    before = editor.get("flags/a").json()
    after = editor.put("flags/a", before).json()

    assert {**after, "version": 1, "updatedAt": before["updatedAt"]} == before


@pytest.mark.parametrize("method", ["put", "patch"])
def test_change__without_version__is_400(editor, make_flag, method):
    make_flag("a")
    assert _problem(editor.send(method, "flags/a", {"enabled": False})) == (400, "version", "required")


def test_change__stale_version__is_409_with_what_is_there(editor, make_flag):
    make_flag("a")
    editor.patch("flags/a", {"version": 1, "enabled": False})
    response = editor.patch("flags/a", {"version": 1, "enabled": True})

    assert _problem(response) == (409, "version", "version_conflict")
    assert response.json()["current"]["version"] == 2


@pytest.mark.parametrize("body", [{"key": "b"}, {"type": "string"}])
def test_change__what_never_changes__is_400(editor, make_flag, body):
    make_flag("a")
    assert _problem(editor.patch("flags/a", {"version": 1, **body})) == (400, next(iter(body)), "immutable")


def test_delete_and_restore__work(editor, make_flag):
    make_flag("a")

    assert editor.delete("flags/a").json()["status"] == "archived"
    assert editor.get("flags").json()["count"] == 0
    assert editor.post("flags/a/restore", {"reason": "needed"}).json()["status"] == "active"


def test_kill_and_release__work(editor, make_flag):
    make_flag("a", defaultVariant="treatment")
    killed = editor.post("flags/a/kill", {"reason": "fire"})
    released = editor.post("flags/a/kill/release", {})

    assert (killed.status_code, killed.json()) == (
        202, {"flagKey": "a", "killSwitchVariant": "control", "configVersion": 2},
    )  # fmt: skip
    assert (released.status_code, released.json()) == (
        202, {"flagKey": "a", "killSwitchVariant": None, "configVersion": 3},
    )  # fmt: skip


def test_kill__unknown_variant__is_400(editor, make_flag):
    make_flag("a")
    assert _problem(editor.post("flags/a/kill", {"variant": "blue"})) == (400, "variant", "unknown_variant")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "flags/a"),
        ("put", "flags/a"),
        ("patch", "flags/a"),
        ("delete", "flags/a"),
        ("post", "flags/a/restore"),
        ("post", "flags/a/kill"),
        ("post", "flags/a/kill/release"),
    ],
)
def test_every_route__outsider__gets_404_and_changes_nothing(outsider, environment, make_flag, method, path):
    before = make_flag("a")
    body = None if method in {"get", "delete"} else {"version": 1}
    for query in ({}, {"project": "web"}, {"project": "web", "environment": "production"}):
        assert outsider.send(method, path, body, **query).status_code == 404

    after = FlagConfig.objects.get(pk=before.pk)
    assert (after.version, after.is_enabled, after.is_killed, after.flag.is_archived) == (1, True, False, False)
    assert outsider.get("flags").json()["count"] == 0


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_change__viewer__is_403(viewer, make_flag, method):
    make_flag("a")
    response = viewer.send(method, "flags/a", {"version": 1})

    assert _problem(response) == (403, None, "permission_denied")


def test_flags__without_credential__is_401(environment, client):
    response = client.get("/api/flags")

    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="flagship"')


def test_flags__two_environments_and_none_named__is_400_naming_them(viewer, staging):
    response = viewer.get("flags")

    assert _problem(response) == (400, "environment", "ambiguous")
    assert "production, staging" in response.json()["errors"][0]["detail"]
    assert viewer.get("flags", environment="staging").status_code == 200

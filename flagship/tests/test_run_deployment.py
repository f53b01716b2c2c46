"""What Docker and a platform would start, read without starting it: commands, routes, variables that exist."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands
from django.urls import Resolver404, resolve
from openflagship.wire.routes import DATA_PLANE

from flagship.runner.processes import read_procfile

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
CADDYFILE = (REPOSITORY / "deploy" / "Caddyfile").read_text()
SETTINGS = (REPOSITORY / "flagship" / "settings.py").read_text()
ENV_EXAMPLE = (REPOSITORY / ".env.example").read_text()
# Variables that name a place or a secret have no value to show in an example.
DOCUMENTED = set(re.findall(r"^#?([A-Z][A-Z_]+)=", ENV_EXAMPLE, re.MULTILINE))
READ_BY_SETTINGS = set(re.findall(r"(?:env\.\w+|_number|_pattern)\(\s*\"([A-Z_]+)\"", SETTINGS))


def assert_command_exists(words: list[str]) -> None:
    program, *arguments = words
    match program:
        case "granian":
            module, _, attribute = arguments[-1].partition(":")
            assert find_spec(module) is not None
            source = (REPOSITORY / f"{module.replace('.', '/')}.py").read_text()
            assert re.search(rf"^{attribute}\b.*=", source, re.MULTILINE)
        case "celery":
            assert arguments[arguments.index("-A") + 1] == "flagship"
            assert {"worker", "beat"} & set(arguments)
        case "python" if arguments[0] == "manage.py":
            assert arguments[1] in get_commands()
        case "python":
            assert arguments[0] == "-m"
            assert find_spec(arguments[1]) is not None
        case _:
            pytest.fail(f"nobody checks what {program} starts")


@pytest.mark.parametrize("name", OURS)
def test_compose__each_service_of_ours__starts_something_that_exists(name):
    assert_command_exists([str(word) for word in OURS[name]["command"]])


@pytest.mark.parametrize("name", ["web", "stream", "grpc", "ingest", "worker", "beat"])
def test_procfile__each_process__starts_something_that_exists(name):
    command = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", read_procfile(REPOSITORY / "Procfile")[name])
    assert_command_exists(shlex.split(command)[1:])


def test_compose__processes__are_those_of_the_procfile_with_web_in_two_groups():
    procfile = set(read_procfile(REPOSITORY / "Procfile"))
    assert set(OURS) == (procfile - {"web"}) | {"web-data", "web-control", "migrate"}


def test_compose__every_process__waits_for_the_migration_and_healthy_servers():
    for name, service in OURS.items():
        wanted = {"postgres": "service_healthy", "redis": "service_healthy"}
        if name != "migrate":
            wanted["migrate"] = "service_completed_successfully"
        assert {other: rule["condition"] for other, rule in service["depends_on"].items()} == wanted, name


def test_compose__superuser__is_known_to_postgres_and_migrate_alone():
    text = (REPOSITORY / "docker-compose.yml").read_text()
    assert text.count("${POSTGRES_ADMIN_PASSWORD") == 2
    assert "DATABASE_ADMIN_URL" not in SERVICES["web-data"]["environment"]
    assert "://flagship:" in SERVICES["migrate"]["environment"]["DATABASE_URL"]
    assert SERVICES["postgres"]["environment"]["POSTGRES_USER"] == "postgres"
    assert "NOSUPERUSER" in (REPOSITORY / "deploy" / "postgres" / "roles.sh").read_text()


def test_compose__heads_of_the_audit_log__have_a_disk_that_the_worker_may_write_to():
    worker = OURS["worker"]
    folder = str(Path(worker["environment"]["AUDIT_HEADS_FILE"]).parent)
    (name,) = [volume.partition(":")[0] for volume in worker["volumes"] if volume.endswith(f":{folder}")]
    assert name in COMPOSE["volumes"]
    # A new volume has the owner that the folder has in the image.
    assert re.search(rf"install .*--owner=flagship .*{folder}$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)


def test_images__that_others_make__are_named_by_version_and_digest():
    from_lines = re.findall(r"^FROM (\S+)", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    named = {service.get("image", "flagship") for service in COMPOSE["services"].values()} | set(from_lines)
    foreign = {image for image in named if not image.startswith("flagship")}
    assert len(foreign) == 4
    assert [image for image in foreign if not re.fullmatch(r"\w+:[\w.-]+@sha256:[0-9a-f]{64}", image)] == []


def test_compose__only_the_proxy__is_reachable_from_outside():
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]


def test_compose__redis__keeps_its_data_and_evicts_nothing():
    command = SERVICES["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_compose__no_secret__has_a_default():
    text = (REPOSITORY / "docker-compose.yml").read_text()
    for secret in ("SECRET_KEY", "POSTGRES_PASSWORD", "POSTGRES_ADMIN_PASSWORD"):
        assert re.search(rf"\${{{secret}:\?", text)
        assert not re.search(rf"\${{{secret}:-", text)


def test_compose__variables_it_reads__are_documented():
    text = (REPOSITORY / "docker-compose.yml").read_text()
    assert set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text)) <= DOCUMENTED


def test_compose__variables_it_sets_for_us__are_read_by_the_settings():
    assert set(OURS["ingest"]["environment"]) <= READ_BY_SETTINGS


def test_procfile__variables_it_reads__are_documented():
    assert set(re.findall(r"\$\{([A-Z_]+)", (REPOSITORY / "Procfile").read_text())) <= DOCUMENTED


def test_env_example__names__exactly_what_is_read():
    procfile = set(re.findall(r"\$\{([A-Z_]+)", (REPOSITORY / "Procfile").read_text()))
    compose = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", (REPOSITORY / "docker-compose.yml").read_text()))
    assert READ_BY_SETTINGS | procfile | compose == DOCUMENTED


def matched_by(matcher: str) -> list[str]:
    """The paths of one named matcher of the Caddyfile, in either of its forms."""
    block = re.search(rf"^\t@{matcher} (?:\{{\n(.*?)^\t\}}|(path .*?)$)", CADDYFILE, re.MULTILINE | re.DOTALL)
    assert block is not None
    lines = (block.group(1) or block.group(2)).splitlines()
    return [word for line in lines for word in line.split() if word != "path"]


def test_proxy__upstreams__are_services_on_the_ports_they_listen_on():
    upstreams = re.findall(r"import group (\S+) (\d+)", CADDYFILE)
    assert dict(upstreams) == {"stream": "8001", "grpc": "8013", "web-data": "8000", "web-control": "8000"}
    for service, port in upstreams:
        assert f"--port={port}" in SERVICES[service]["command"]


@pytest.mark.parametrize("path", [path for path in matched_by("data") if "*" not in path and "snapshot" not in path])
def test_proxy__path_of_the_data_plane__is_a_route(path):
    try:
        resolve(path)
    except Resolver404:
        pytest.fail(f"the proxy sends {path} to the data plane, and nothing answers there")


SAMPLES = {"{key:path}": ("checkout", "a/b"), "{environment_key}": ("production",)}
ROUTE_PATHS = [
    (path.replace(parameter, value) if parameter in path else path, route.process)
    for route in DATA_PLANE
    for path in route.paths
    for parameter, values in (SAMPLES.items() if "{" in path else [("", ("",))])
    if parameter in path
    for value in values
]


def is_matched(path: str, pattern: str) -> bool:
    """As Caddy's `path` matcher does: exactly, or with a `*` at the end for any rest."""
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


@pytest.mark.parametrize(("path", "process"), ROUTE_PATHS)
def test_proxy__route_of_the_table__goes_to_its_group_of_processes(path, process):
    # In the file's order: what the stream's matcher takes does not reach the other.
    groups = [name for name in ("stream", "data") if any(is_matched(path, pattern) for pattern in matched_by(name))]

    assert groups[:1] == [process]


@pytest.mark.parametrize("pattern", [*matched_by("stream"), *matched_by("data")])
def test_proxy__pattern__stands_for_a_route_of_the_table(pattern):
    process = "stream" if pattern in matched_by("stream") else "data"

    assert [path for path, group in ROUTE_PATHS if group == process and is_matched(path, pattern)]


def test_proxy__stream__is_not_buffered():
    block = CADDYFILE[CADDYFILE.index("handle @stream") : CADDYFILE.index("@data")]
    assert "flush_interval -1" in block
    assert "encode" not in block

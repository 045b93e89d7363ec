"""docker-compose.yml holds to the Compose Specification, opens nothing to the network, and its commands are real."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml
from ray.scripts.scripts import cli as ray_cli

from glora_search.cli import app

ROOT = Path(__file__).parent.parent
SCHEMA = Path(__file__).parent / "assets" / "compose_spec.json"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return found


def words(service: dict[str, Any]) -> str:
    """The command of a service as one text."""
    command = service["command"]
    return command if isinstance(command, str) else " ".join(command)


def commands(service: dict[str, Any], program: str) -> list[list[str]]:
    """The arguments of each call of `program` in a service's command, with variables at their defaults."""
    text = words(service).replace("${THREADS:-2}", "2").replace("${WORKERS:-1}", "1")
    text = text.replace("${CONFIG:-digits.yaml}", "digits.yaml")
    parts = [part.strip().removeprefix("exec ") for line in text.splitlines() for part in line.split(";")]
    starts = [part[part.index(program + " ") :] for part in parts if program + " " in part]
    return [shlex.split(start)[1:] for start in starts]


def test_it_is_valid_by_the_specification(compose: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft201909Validator(schema).validate(compose)


def test_the_schema_refuses_an_unknown_key(compose: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    broken = compose | {"services": {"head": compose["services"]["head"] | {"comand": "ray"}}}
    with pytest.raises(jsonschema.ValidationError, match="comand"):
        jsonschema.Draft201909Validator(schema).validate(broken)


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert published, "Ray's port is published"
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert not any("network_mode" in service for service in compose["services"].values())


def test_every_service_needs_the_token_and_has_the_same_image(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["environment"]["RAY_AUTH_TOKEN"].startswith("${RAY_AUTH_TOKEN:?")
        assert (service["image"], service["build"]) == ("glora-search", ".")


def test_gpus_are_asked_for_outside_the_cpu_profile_only(compose: dict[str, Any]) -> None:
    with_gpus = {name for name, service in compose["services"].items() if "deploy" in service}
    in_cpu = {name for name, service in compose["services"].items() if "cpu" in service.get("profiles", ("cpu",))}
    assert with_gpus == {"worker"}
    assert in_cpu == {"head", "cpu-worker", "campaign"}


def test_the_database_and_the_runs_are_in_a_volume(compose: dict[str, Any]) -> None:
    campaign = compose["services"]["campaign"]
    assert "kept:/campaign/kept" in campaign["volumes"]
    (arguments,) = commands(campaign, "glora-search")
    for option in ("--db", "--runs"):
        assert arguments[arguments.index(option) + 1].startswith("kept/")


def test_the_commands_parse(compose: dict[str, Any]) -> None:
    started = 0
    for service in compose["services"].values():
        for arguments in commands(service, "ray start"):
            ray_cli.commands["start"].make_context("start", arguments[1:])
            started += 1
    assert started == len(compose["services"])
    (arguments,) = commands(compose["services"]["campaign"], "glora-search")
    launch = typer.main.get_command(app).commands["launch"]  # type: ignore[attr-defined]
    parameters = launch.make_context("launch", arguments[1:]).params
    assert (ROOT / parameters["config"]).is_file()


def test_each_gpu_worker_takes_a_gpu_of_its_own(compose: dict[str, Any], tmp_path: Path) -> None:
    """Three workers on a machine of two GPUs, with stand-ins for nvidia-smi and Ray: the third says what is wrong."""
    shell, flags, script = compose["services"]["worker"]["command"]
    script = script.replace("$$", "$").replace("/gpus/", f"{tmp_path}/gpu-")
    stand_in(tmp_path / "nvidia-smi", "printf '0\\n1\\n'")
    stand_in(tmp_path / "ray", "echo gpu $CUDA_VISIBLE_DEVICES; exec sleep 60")
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [shell, flags, script]
    first, second = (
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
        for _ in range(2)
    )
    with first, second:
        assert first.stdout is not None
        assert second.stdout is not None
        taken = {first.stdout.readline(), second.stdout.readline()}
        third = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
        first.kill()
        second.kill()
    assert taken == {"gpu 0\n", "gpu 1\n"}
    assert third.returncode == 1
    assert "lower --scale worker=N" in third.stderr


def stand_in(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def test_the_image_gets_every_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {name.removesuffix("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert allowed == packages | {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}

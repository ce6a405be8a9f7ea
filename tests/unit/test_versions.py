"""pyproject.toml, constraints.txt and environment.yml state one set of versions."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins() -> dict[str, Version]:
    found: dict[str, Version] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        name, version = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!]+)", line).groups()
        assert canonicalize_name(name) not in found, f"{name} is pinned twice"
        found[canonicalize_name(name)] = Version(version)
    return found


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for texts in (PROJECT["dependencies"], *extras) for text in texts]


def test_every_requirement_is_pinned_inside_its_range() -> None:
    pinned = pins()
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} is in pyproject.toml and not in constraints.txt"
        assert pinned[name] in requirement.specifier, f"{name}=={pinned[name]} lies outside {requirement.specifier}"


def test_what_the_requirements_require_is_pinned_too() -> None:
    pinned, todo, done = pins(), requirements(), set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in done:
            continue
        done.add((name, frozenset(requirement.extras)))
        try:
            installed = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # not for this system
        if "+" in installed.version and name == "torch":
            pass  # a build for one kind of machine, of the pinned version
        assert name in pinned, f"{name} is required through another package and not in constraints.txt"
        for text in installed.requires or []:
            inner = Requirement(text)
            extras = requirement.extras or {""}
            if inner.marker is None or any(
                inner.marker.evaluate({**default_environment(), "extra": extra}) for extra in {"", *extras}
            ):
                todo.append(inner)


def test_the_installed_set_is_the_tested_one() -> None:
    differ = {}
    for name, version in pins().items():
        try:
            installed = Version(metadata.version(name)).public
        except metadata.PackageNotFoundError:
            continue
        if installed != str(version):
            differ[name] = installed
    if differ and not (ROOT / ".venv" / "labkit-environment.json").exists():
        pytest.skip(f"this environment was not made by bootstrap.py: {differ}")
    assert not differ


def test_to_read_a_notebook_loads_no_parser_of_grammars() -> None:
    """jsonschema 4.25 and later load one, which takes a second in each kernel's server, build and test."""
    code = "import sys, nbformat; raise SystemExit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_torch_and_triton_belong_together() -> None:
    pinned = pins()
    assert (str(pinned["torch"]), str(pinned["triton"])) == ("2.13.0", "3.7.1")
    by_name = {requirement.name: requirement for requirement in requirements()}
    assert str(by_name["triton"].marker) == 'sys_platform == "linux"'
    assert Version("2.12") in by_name["torch"].specifier and Version("2.11") not in by_name["torch"].specifier


def test_conda_gets_the_same_set_by_pointing_at_the_project() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = [entry for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == {"pip": ["-c constraints.txt", "-e .[dev]"]}
    (python,) = [entry for entry in environment["dependencies"] if str(entry).startswith("python")]
    assert Version(python.split("=")[-1]) in Requirement(f"python{PROJECT['requires-python']}").specifier
    assert "pip" in environment["dependencies"]


def test_bootstrap_and_pyproject_agree_on_python() -> None:
    text = (ROOT / "bootstrap.py").read_text(encoding="utf-8")
    oldest, newest = re.search(r"OLDEST, NEWEST = \((\d+), (\d+)\), \((\d+), (\d+)\)", text).group(2, 4)
    assert PROJECT["requires-python"] == f">=3.{oldest},<3.{int(newest) + 1}"


@pytest.mark.parametrize("name", ["constraints.txt", "environment.yml", "pyproject.toml"])
def test_no_file_names_a_package_index(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"--(extra-)?index-url|--find-links|https?://", text)


def test_the_licence() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")

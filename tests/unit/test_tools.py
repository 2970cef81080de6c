"""`tools/find_python.sh`: the interpreter and the lock for a system, on systems that are made of two small scripts."""

import os
import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "tools" / "find_python.sh"


@pytest.fixture
def system(tmp_path):
    """Makes a PATH with a C library's version and interpreters, and runs the script there."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def write(name: str, text: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)

    def find(
        glibc: str,
        versions: dict[str, str],
        *arguments: str,
        without_venv: tuple[str, ...] = (),
        machine: str = "x86_64",
        os_release: str = "",
    ) -> str:
        write("getconf", f"echo glibc {glibc}" if glibc else "exit 1")
        write("uname", f"echo {machine}")
        for name, version in versions.items():
            imports = "exit 1" if name in without_venv else "exit 0"
            write(name, f'case "$2" in *ensurepip*) {imports} ;; *) echo {version} ;; esac')
        (tmp_path / "os-release").write_text(os_release.replace(";", "\n"))
        # nothing of this machine is found
        environment = {"PATH": str(folder), "HOME": str(tmp_path), "OS_RELEASE": str(tmp_path / "os-release")}
        for tool in ("sed", "tr", "head", "ls", "cut", "sh"):
            if not (folder / tool).exists():
                os.symlink(f"/usr/bin/{tool}" if os.path.exists(f"/usr/bin/{tool}") else f"/bin/{tool}", folder / tool)
        return subprocess.run(
            ["/bin/sh", str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    return find


@pytest.mark.parametrize(
    ("glibc", "versions", "expected"),
    [
        ("2.36", {"python3": "3.11"}, "python3 older"),
        ("2.36", {"python3": "3.10", "python3.11": "3.11"}, "python3.11 older"),
        ("2.41", {"python3": "3.13"}, "python3 newer"),
        ("2.39", {"python3": "3.12"}, "python3 newer"),
        ("2.39", {"python3": "3.14", "python3.12": "3.12"}, "python3.12 newer"),
        ("2.41", {"python3.11": "3.11", "python3.13": "3.13"}, "python3.11 older"),
    ],
)
def test_the_first_interpreter_with_a_lock_for_the_system_is_found(system, glibc, versions, expected) -> None:
    assert system(glibc, versions) == expected


@pytest.mark.parametrize(
    ("glibc", "versions", "reason"),
    [
        ("2.36", {"python3": "3.12"}, "it needs Python 3.11 here (glibc 2.36)"),
        ("2.36", {"python3": "3.13", "python3.12": "3.12"}, "it needs Python 3.11 here (glibc 2.36)"),
        ("2.41", {"python3": "3.14"}, "it needs Python 3.11, 3.12 or 3.13 here (glibc 2.41)"),
    ],
)
def test_a_system_without_one_is_told_what_to_install(system, glibc, versions, reason) -> None:
    found = system(glibc, versions)
    assert found.startswith("none set-up cannot start: ")
    assert reason in found
    assert "make run PYTHON=" in found
    assert "\n" not in found


_BY_UV = "install Python 3.11 with its module venv, for example by: uv python install 3.11"
_LIKE_UBUNTU = 'ID_LIKE="ubuntu debian";'


@pytest.mark.parametrize(
    ("glibc", "os_release", "hint"),
    [
        (
            "2.36",
            "NAME=Debian;ID=debian;VERSION_ID=12;VERSION_CODENAME=bookworm",
            "apt-get install python3 python3-venv",
        ),
        ("2.41", "NAME=Debian;ID=debian;VERSION_ID=13;VERSION_CODENAME=trixie", "apt-get install python3 python3-venv"),
        ("2.35", "ID=ubuntu;ID_LIKE=debian;UBUNTU_CODENAME=jammy", "apt-get install python3.11 python3.11-venv"),
        ("2.39", "ID=ubuntu;ID_LIKE=debian;UBUNTU_CODENAME=noble", "apt-get install python3 python3-venv"),
        ("2.39", f"ID=linuxmint;{_LIKE_UBUNTU}UBUNTU_CODENAME=noble", "apt-get install python3 python3-venv"),
        ("2.36", "ID=linuxmint;ID_LIKE=debian;DEBIAN_CODENAME=bookworm", "apt-get install python3 python3-venv"),
        ("2.34", 'ID=rhel;ID_LIKE="fedora";VERSION_ID=9.6', "dnf install python3.11"),
        ("2.39", 'ID=centos;ID_LIKE="rhel fedora";VERSION_ID=10', "dnf install python3"),
        ("2.42", "ID=fedora;VERSION_ID=43", "dnf install python3.13"),
        ("2.38", 'ID="opensuse-leap";ID_LIKE="suse opensuse";VERSION_ID=15.6', "zypper install python311"),
        ("2.31", "ID=debian;VERSION_ID=11;VERSION_CODENAME=bullseye", _BY_UV),
        ("2.42", "ID=debian;VERSION_CODENAME=forky", _BY_UV),
        ("2.31", "ID=ubuntu;ID_LIKE=debian;VERSION_ID=20.04;UBUNTU_CODENAME=focal", _BY_UV),
        ("2.43", "ID=ubuntu;ID_LIKE=debian;VERSION_ID=26.04;UBUNTU_CODENAME=resolute", _BY_UV),
        ("2.41", "ID=arch", _BY_UV),
        ("2.41", "", _BY_UV),
    ],
)
def test_a_system_is_told_to_install_what_it_has(system, glibc, os_release, hint) -> None:
    found = system(glibc, {"python3": "3.9"}, os_release=os_release)
    assert f": {hint}. Or name another: " in found


@pytest.mark.parametrize(
    ("glibc", "release", "hint"),
    [
        ("2.31", "VERSION_ID=11;VERSION_CODENAME=bullseye", f"On Debian 11: {_BY_UV}"),  # it has 3.9 only
        ("2.36", "VERSION_ID=12;VERSION_CODENAME=bookworm", "On Debian 12: apt-get install python3 python3-venv"),
        ("2.41", "VERSION_ID=13;VERSION_CODENAME=trixie", "On Debian 13: apt-get install python3 python3-venv"),
    ],
)
def test_an_interpreter_without_venv_is_named_and_the_package_is_the_systems(system, glibc, release, hint) -> None:
    release = f"NAME=Debian;ID=debian;{release}"
    found = system(glibc, {"python3": "3.11"}, without_venv=("python3",), os_release=release)
    assert "the modules venv and ensurepip of python3 are missing" in found
    assert f"{hint}. " in found


def test_a_named_interpreter_is_taken_or_refused_with_its_version(system) -> None:
    versions = {"mine": "3.12"}
    assert system("2.39", versions, "mine") == "mine newer"
    assert "and mine is Python 3.12" in system("2.36", versions, "mine")
    assert "and absent is not an interpreter" in system("2.36", versions, "absent")


@pytest.mark.parametrize(
    ("glibc", "machine", "found"),
    [
        ("2.41", "aarch64", "This is aarch64 with glibc 2.41."),
        ("", "x86_64", "This is x86_64 with another C library."),
        ("", "arm64", "This is arm64 with another C library."),
    ],
)
def test_a_machine_without_wheels_is_told_so(system, glibc, machine, found) -> None:
    line = system(glibc, {"python3": "3.11"}, machine=machine)
    assert line.startswith("none set-up cannot start: it needs Linux on x86-64 with glibc, ")
    assert line.endswith(found)

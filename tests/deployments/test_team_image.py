"""What goes into a team's image and into the wheel: the lock's packages, our own, and nothing that a team fills in."""

import re
from fnmatch import fnmatch
from importlib.metadata import metadata
from pathlib import Path, PurePosixPath

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
TEAM = ROOT / "deployments" / "team"


def test_image_installs_from_the_lock_with_hashes() -> None:
    """Extras that exist, files that exist, and not as root."""
    dockerfile = (TEAM / "Dockerfile").read_text()
    installs = re.findall(r"pip (?:install|sync) (?:.*\\\n)*.*", dockerfile)
    assert len(installs) == 4
    assert all("--require-hashes" in install for install in installs[:3])
    assert "--no-deps" in installs[3]
    # Nobody may write bytecode in the image later: each process would compile all that it imports anew.
    into_image = [install for install in installs if "/opt/knowledge/bin/python" in install]
    assert len(into_image) == 2
    assert all("--compile-bytecode" in install for install in into_image)
    extras = re.findall(r"--extra (\w+)", dockerfile)
    assert set(extras) <= set(metadata("durable-knowledge").get_all("Provides-Extra") or ())
    assert dockerfile.rpartition("\nUSER ")[2].startswith("10001:10001")
    for path in re.findall(r"^!(\S+)", (TEAM / "Dockerfile.dockerignore").read_text(), re.MULTILINE):
        assert (ROOT / path).exists(), path


def _matches(path: PurePosixPath, pattern: str) -> bool:
    places = (path, *path.parents)
    if pattern.startswith("**/"):
        return any(fnmatch(place.name, pattern.removeprefix("**/")) for place in places)
    return any(fnmatch(str(place), pattern) for place in places)


def test_image_and_wheel_have_nothing_that_a_team_fills_in() -> None:
    """Its documents, passwords and secrets stand beside the manifests, and images and wheels go to registries."""
    patterns = [line for line in (TEAM / "Dockerfile.dockerignore").read_text().splitlines() if line[0] != "#"]

    def is_sent(path: str) -> bool:
        """As docker reads the file: the last pattern that matches decides."""
        found = [pattern for pattern in patterns if _matches(PurePosixPath(path), pattern.removeprefix("!"))]
        return found[-1].startswith("!")

    team = "deployments/team"
    filled_in = (f"{team}/documents/a.txt", f"{team}/kubernetes/my-secret.yaml", f"{team}/.env")
    assert not any(is_sent(path) for path in filled_in)
    assert is_sent("deployments/cli.py")
    packed = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert "deployments/cli.py" in packed
    assert not any(path.startswith(team) for path in packed)
    ignored = (ROOT / ".gitignore").read_text().split()
    assert all(any(_matches(PurePosixPath(path), line.rstrip("/")) for line in ignored) for path in filled_in)

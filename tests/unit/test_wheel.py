"""The wheel: what is installed from it is whole, and works where the sources are not."""

import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES: list[str] = PROJECT["tool"]["uv"]["build-backend"]["module-name"]

IMPORT_ALL = """
import importlib, pathlib, pkgutil, sys
target = pathlib.Path(sys.argv[1])
for name in sys.argv[2:]:
    package = importlib.import_module(name)
    found = [name, *(m.name for m in pkgutil.walk_packages(package.__path__, f"{name}."))]
    for each in (importlib.import_module(f) for f in found if not f.endswith("__main__")):
        assert pathlib.Path(each.__file__).is_relative_to(target), each.__file__
        print(each.__name__)
"""


def run(*command: str, cwd: Path, **environ: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the sources as they are."""
    out = tmp_path_factory.mktemp("wheel")
    # The build backend is looked for on PATH, where a venv that is not activated is not.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out))
    run(*build, str(ROOT), cwd=out, PATH=path)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def files(wheel: Path) -> dict[str, bytes]:
    """What is in the wheel, by path."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_build_backend_is_the_one_that_pip_would_take() -> None:
    """Without isolation the pin of [build-system] is not looked at: the versions must agree."""
    (pinned,) = PROJECT["build-system"]["requires"]
    assert pinned in PROJECT["dependency-groups"]["dev"]
    assert pinned in (ROOT / "constraints.txt").read_text("utf-8").splitlines()


def test_every_schema_type_marker_and_pin_is_inside(files: dict[str, bytes]) -> None:
    data = [f"avro_schemas/{schema.name}" for schema in (ROOT / "avro_schemas").glob("*.avsc")]
    assert data
    data += [f"{package}/py.typed" for package in PACKAGES]
    data += ["ops/stack/artifacts.json"]
    assert set(data) <= files.keys()


def test_nothing_but_the_packages_is_inside(files: dict[str, bytes]) -> None:
    """A `tests` or `docs` on somebody's import path would be in the way of their own."""
    tops = {name.split("/")[0] for name in files}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_no_index_takes_it_and_the_command_is_declared(files: dict[str, bytes]) -> None:
    about = {name.split("/")[-1]: text.decode() for name, text in files.items() if "-info" in name}
    assert "Classifier: Private :: Do Not Upload" in about["METADATA"].splitlines()
    assert "seamless = ops.cli:main" in about["entry_points.txt"].splitlines()


def test_every_module_can_be_imported_from_where_it_is_installed(
    wheel: Path, tmp_path: Path
) -> None:
    target = tmp_path / "installed"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, "--target", str(target), str(wheel), cwd=tmp_path)
    libraries = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    # -S: no .pth file of an editable install may lead back to the sources.
    told = run(
        *(sys.executable, "-P", "-S", "-c", IMPORT_ALL, str(target), *PACKAGES),
        cwd=tmp_path,
        PYTHONPATH=os.pathsep.join([str(target), *libraries]),
    )
    assert set(PACKAGES) < set(told.split())

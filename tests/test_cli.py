"""The command line, in this process and as a program."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jax
import pytest

from nacre import cli
from nacre.core.errors import DataError


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    monkeypatch.setenv("NACRE_DATA", str(tmp_path / "data"))  # also puts back what --data sets
    monkeypatch.setenv("NACRE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def lines_of(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.splitlines())


def test_info_in_plain_lines(capsys, places):
    for name in ("mnist/train.gz", "iris/.iris.csv.part"):
        (places / "data" / name).parent.mkdir(parents=True)
        (places / "data" / name).touch()
    (places / "data" / "README.md").touch()
    assert cli.main(["info"]) == 0
    facts = lines_of(capsys.readouterr().out)
    assert facts["nacre"] == metadata.version("nacre") and facts["jax"] == jax.__version__
    assert facts["devices"].lower().count("cpu") == len(jax.devices())
    assert facts["data folder"] == f"{places}/data (mnist)"
    assert facts["cache"] == f"{places}/cache (not there)"
    assert facts["CPU threads"][0].isdigit()
    assert ": " in facts["kernels"]


def test_info_without_a_data_folder(capsys, monkeypatch):
    monkeypatch.delenv("NACRE_DATA")
    cli.main(["info"])
    assert lines_of(capsys.readouterr().out)["data folder"] == "NACRE_DATA is not set"


def test_info_takes_the_data_folder(capsys, places):
    (places / "other").mkdir()
    cli.main(["info", "--data", str(places / "other")])
    assert lines_of(capsys.readouterr().out)["data folder"] == f"{places}/other (empty)"


def test_info_as_a_table_in_a_terminal(capsys, monkeypatch, places):
    folder = places / "[bold]"  # must not be taken for a colour
    folder.mkdir()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "300")
    cli.main(["info", "--data", str(folder)])
    shown = capsys.readouterr().out
    assert "[bold] (empty)" in shown and "jaxlib" in shown and "jaxlib:" not in shown


def test_demo_passes_its_options_on(monkeypatch):
    calls = []
    monkeypatch.setattr(cli, "run_demo", lambda *arguments: calls.append(arguments))
    assert cli.main(["demo"]) == 0
    arguments = ["demo", "--epochs", "2", "--output", "out", "--seed", "9", "--data", "/sets"]
    assert cli.main(arguments) == 0
    assert calls == [(Path("demo-report"), None, 1), (Path("out"), 2, 9)]
    assert os.environ["NACRE_DATA"] == "/sets"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (DataError("the digits are gone"), 1, "nacre: the digits are gone\n"),
        (OSError("the disk is full"), 1, "nacre: the disk is full\n"),
        (KeyboardInterrupt(), 130, "nacre: interrupted\n"),
    ],
)
def test_errors_come_without_a_traceback(monkeypatch, capsys, error, status, said):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(cli, "run_demo", fail)
    assert cli.main(["demo"]) == status
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("arguments", [["dance"], ["demo", "--epochs", "0"]])
def test_wrong_usage(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: nacre" in capsys.readouterr().err


def test_without_a_command_it_says_what_there_is(capsys):
    assert cli.main([]) == 0
    assert "train a network on handwritten digits" in capsys.readouterr().out


def test_the_module_and_the_script_are_the_same_program():
    script = Path(sys.executable).with_name("nacre")
    commands = [[sys.executable, "-m", "nacre", "--version"]]
    commands += [[str(script), "--version"]] if script.exists() else []
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == f"nacre {metadata.version('nacre')}\n"

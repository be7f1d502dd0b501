"""Each mistake of docs/mistakes.md gives the message shown there, and its correction gives none."""

from pathlib import Path

import catalogue
import jax
import pytest

PAGE = catalogue.read()
JAX = str(Path(jax.__file__).parents[1])


def titles(items):
    return [item[0] for item in items]


def test_there_are_enough():
    assert len(PAGE.entries) >= 40
    assert len(set(titles(PAGE.entries))) == len(PAGE.entries)


@pytest.mark.parametrize("entry", PAGE.entries, ids=titles(PAGE.entries))
def test_mistake(entry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said, error = catalogue.complaint(PAGE.prelude, entry.wrong)
    assert catalogue.agrees(entry.message, said), (
        f"the page says\n{entry.message}\nbut it is\n{said}"
    )
    if error is not None:
        files = catalogue.files_in(error)
        assert "<script>" in files
        assert not [file for file in files if file.startswith(JAX)]
        assert "JAX has removed" not in str(getattr(error, "__notes__", ""))


CORRECTIONS = {entry.right: entry.title for entry in PAGE.entries}  # some are the same code


@pytest.mark.parametrize("code", CORRECTIONS, ids=list(CORRECTIONS.values()))
def test_correction(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    catalogue.run(PAGE.prelude, code)


@pytest.mark.parametrize(("title", "code"), PAGE.harmless, ids=titles(PAGE.harmless))
def test_what_is_no_mistake(title, code):
    catalogue.run(PAGE.prelude, code)


@pytest.mark.parametrize("entry", PAGE.entries, ids=titles(PAGE.entries))
def test_message_says_what_to_do(entry):
    assert "  Fix: " in entry.message or "FileNotFoundError" in entry.message
    if entry.message.startswith("LearnerWarning"):
        assert 'Silence: warnings.filterwarnings("ignore", category=nacre.LearnerWarning)' in (
            entry.message
        )

"""A file is written as a whole or not at all, and nothing is left behind."""

import os
import resource
import stat

import pytest

from nacre.saving.atomic import atomic_write


def test_the_file_appears_when_all_is_written(tmp_path):
    target = tmp_path / "m.nacre"
    with atomic_write(target) as file:
        file.write(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["m.nacre"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, ValueError])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "m.nacre"
    target.write_bytes(b"old")
    with pytest.raises(error), atomic_write(target) as file:
        file.write(b"half of the n")
        raise error
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m.nacre"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_while_finishing_leaves_the_old_file(tmp_path, monkeypatch, step):
    target = tmp_path / "m.nacre"
    target.write_bytes(b"old")

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="no space left"), atomic_write(target) as file:
        file.write(b"new")
    monkeypatch.undo()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m.nacre"]


def test_a_full_disk_leaves_the_old_file(tmp_path):
    target = tmp_path / "m.nacre"
    target.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError), atomic_write(target) as file:
            file.write(b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m.nacre"]


def test_a_link_keeps_pointing_to_the_new_file(tmp_path):
    (tmp_path / "kept").mkdir()
    target, link = tmp_path / "kept" / "m.nacre", tmp_path / "latest"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_the_usual_permissions_apply(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "m.nacre") as file:
            file.write(b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m.nacre").stat().st_mode) == 0o640


def test_a_missing_folder_is_named(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"no folder .*missing"),
        atomic_write(tmp_path / "missing" / "m.nacre"),
    ):
        pass

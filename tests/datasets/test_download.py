"""The downloader against a real server: mirrors, resuming, checking, and what it leaves behind."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nacre.core.errors import ArgumentError, NacreError
from nacre.datasets.download import Checksum, DownloadError, download

PAGE = np.random.default_rng(0).bytes(300_000)
SHA256 = Checksum("sha256", hashlib.sha256(PAGE).hexdigest())


def fetch(site, paths, target, **options):
    options.setdefault("checksum", SHA256)
    options.setdefault("timeout", 0.3)
    return download([site.url(path) for path in paths], target, **options)


def test_downloads_into_a_new_folder_and_leaves_nothing_else(site, tmp_path):
    site.pages["a"] = PAGE
    target = tmp_path / "deep" / "er" / "file.gz"
    assert fetch(site, ["a"], target, size=len(PAGE)) == target
    assert target.read_bytes() == PAGE
    assert [path.name for path in target.parent.iterdir()] == ["file.gz"]


def test_does_not_ask_again_for_a_file_that_is_there(site, tmp_path):
    site.pages["a"] = PAGE
    fetch(site, ["a"], tmp_path / "file")
    fetch(site, ["a"], tmp_path / "file")
    assert len(site.requests) == 1


def test_replaces_a_file_only_when_the_new_one_is_whole(site, tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(DownloadError):
        fetch(site, ["missing"], target, checksum=None, replace=True)
    assert target.read_bytes() == b"old"
    site.pages["a"] = PAGE
    fetch(site, ["a"], target, checksum=None, replace=True)
    assert target.read_bytes() == PAGE


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_goes_on_to_the_next_mirror(site, tmp_path, status):
    site.status["bad"] = status
    site.pages["good"] = PAGE
    fetch(site, ["bad", "good"], tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == PAGE


def test_a_mirror_with_other_content_is_not_believed(site, tmp_path):
    site.pages["other"] = PAGE[::-1]
    site.pages["good"] = PAGE
    fetch(site, ["other", "good"], tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == PAGE
    assert [path for path, _ in site.requests] == ["other", "good"]


def test_a_wrong_checksum_everywhere_is_an_error_and_keeps_nothing(site, tmp_path):
    site.pages["other"] = PAGE[::-1]
    with pytest.raises(DownloadError, match="sha256 checksum is .* not " + SHA256.digest[:12]):
        fetch(site, ["other"], tmp_path / "file")
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "file.part").stat().st_size == 0


def test_resumes_where_the_connection_broke(site, tmp_path):
    site.pages["a"] = PAGE
    site.cut_after["a"] = [100_000, 50_000]
    fetch(site, ["a"], tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == PAGE
    assert site.requests == [("a", None), ("a", "bytes=100000-"), ("a", "bytes=150000-")]


def test_another_mirror_continues_what_the_first_began(site, tmp_path):
    site.pages["a"] = site.pages["b"] = PAGE
    site.cut_after["a"] = [100_000, 0, 0]
    fetch(site, ["a", "b"], tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == PAGE
    assert site.requests[-1] == ("b", "bytes=100000-")


def test_starts_anew_where_the_server_knows_no_ranges(site, tmp_path):
    site.pages["a"] = PAGE
    site.without_ranges.add("a")
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    fetch(site, ["a"], tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == PAGE


def test_starts_anew_where_the_server_sends_another_range(site, tmp_path):
    site.pages["a"] = PAGE
    site.wrong_range.add("a")
    (tmp_path / "file.part").write_bytes(PAGE[:1000])
    fetch(site, ["a"], tmp_path / "file")
    assert site.requests == [("a", "bytes=1000-"), ("a", None)]
    assert (tmp_path / "file").read_bytes() == PAGE


@pytest.mark.parametrize("left", [b"y" * 1000, b"y" * len(PAGE), b"y" * (len(PAGE) + 10)])
@pytest.mark.parametrize("size", [None, len(PAGE)])
def test_a_spoilt_beginning_does_not_spoil_the_file(site, tmp_path, left, size):
    site.pages["a"] = PAGE
    (tmp_path / "file.part").write_bytes(left)
    fetch(site, ["a"], tmp_path / "file", size=size)
    assert (tmp_path / "file").read_bytes() == PAGE


def test_a_beginning_that_is_whole_needs_no_request(site, tmp_path):
    (tmp_path / "file.part").write_bytes(PAGE)
    fetch(site, ["a"], tmp_path / "file", size=len(PAGE))
    assert site.requests == []


def test_without_a_checksum_nothing_is_resumed(site, tmp_path):
    site.pages["a"] = PAGE
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    fetch(site, ["a"], tmp_path / "file", checksum=None)
    assert site.requests == [("a", None)]
    assert (tmp_path / "file").read_bytes() == PAGE


def test_a_cut_file_without_a_checksum_is_noticed(site, tmp_path):
    site.pages["a"] = PAGE
    site.cut_after["a"] = [10, 10, 10]
    with pytest.raises(DownloadError, match="connection ended after 10 of 300,000 bytes"):
        fetch(site, ["a"], tmp_path / "file", checksum=None)
    assert not (tmp_path / "file").exists()


def test_more_bytes_than_expected_are_refused_before_they_fill_the_disk(site, tmp_path):
    site.pages["a"] = PAGE
    with pytest.raises(DownloadError, match="more than the expected 1,000 bytes"):
        fetch(site, ["a"], tmp_path / "file", size=1000)
    assert (tmp_path / "file.part").stat().st_size == 0


def test_a_silent_server_is_left_in_time(site, tmp_path):
    site.silent.add("a")
    site.pages["b"] = PAGE
    fetch(site, ["a", "b"], tmp_path / "file", timeout=0.1)
    assert [path for path, _ in site.requests] == ["a", "b"]


def test_the_error_lists_every_attempt(site, tmp_path):
    site.status["b"] = 503
    site.silent.add("c")
    with pytest.raises(DownloadError) as caught:
        fetch(site, ["a", "b", "c"], tmp_path / "file", timeout=0.1)
    message = str(caught.value)
    assert f"{site.url('a')}: HTTP 404 Not Found" in message
    assert f"{site.url('b')}: HTTP 503 Service Unavailable" in message
    assert f"{site.url('c')}: no answer in time" in message
    assert "Fix: " in message
    assert isinstance(caught.value, NacreError) and isinstance(caught.value, OSError)
    assert len(caught.value.attempts) == 3


def test_an_address_that_does_not_exist(tmp_path):
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:1/a: .*refused"):
        download(["http://127.0.0.1:1/a"], tmp_path / "file")


def test_only_known_schemes_are_asked(tmp_path):
    with pytest.raises(ArgumentError, match="gopher"):
        download(["gopher://127.0.0.1/a"], tmp_path / "file")


def test_progress_is_told(site, tmp_path):
    site.pages["a"] = PAGE
    told = []
    fetch(site, ["a"], tmp_path / "file", progress=lambda *news: told.append(news))
    assert told[-1] == (site.url("a"), len(PAGE), len(PAGE))
    assert [received for _, received, _ in told] == sorted(received for _, received, _ in told)


SCRIPT = """
import sys
from pathlib import Path
from nacre.datasets.download import Checksum, download
def wait(address, received, total):
    if received > 100_000:
        print("half", flush=True)
        sys.stdin.read()
download([sys.argv[1]], Path(sys.argv[2]), checksum=Checksum("sha256", sys.argv[3]), progress=wait)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_download_is_resumed_by_the_next(site, tmp_path, number):
    site.pages["a"] = PAGE
    target = tmp_path / "file"
    arguments = [sys.executable, "-c", SCRIPT, site.url("a"), str(target), SHA256.digest]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"half\n"
        process.send_signal(number)
        process.wait(20)
    assert not target.exists()
    kept = (tmp_path / "file.part").stat().st_size
    fetch(site, ["a"], target)
    assert target.read_bytes() == PAGE
    assert kept > 0 and site.requests[-1] == ("a", f"bytes={kept}-")


def _download_in_a_process(address: str, target: Path) -> None:
    download([address], target, checksum=SHA256)


@pytest.mark.skipif(os.name == "nt", reason="needs file locks")
def test_two_processes_share_one_download(site, tmp_path):
    site.pages["a"] = PAGE
    context = multiprocessing.get_context("spawn")
    target = tmp_path / "file"
    processes = [
        context.Process(target=_download_in_a_process, args=(site.url("a"), target))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert target.read_bytes() == PAGE
    assert [path for path, _ in site.requests] == ["a"]
    assert not (tmp_path / "file.part").exists()


def test_waiting_for_the_lock_then_finding_the_file(site, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    site.pages["a"] = PAGE
    target = tmp_path / "file"
    with open(tmp_path / "file.part", "ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_download_in_a_process, args=(site.url("a"), target))
        process.start()
        time.sleep(0.5)
        assert site.requests == []
        held.write(PAGE)
        held.flush()
        os.replace(tmp_path / "file.part", target)
    process.join(60)
    assert process.exitcode == 0
    assert site.requests == [] and target.read_bytes() == PAGE

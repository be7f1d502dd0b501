"""A small HTTP server on loopback that misbehaves on request."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Site:
    """What the server answers: a page's bytes, and how it goes wrong, by path."""

    address: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    cut_after: dict[str, list[int]] = field(default_factory=dict)  # one number for each request
    without_ranges: set[str] = field(default_factory=set)
    wrong_range: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"


def handler_of(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.strip("/")
            wanted = self.headers.get("Range")
            site.requests.append((path, wanted))
            if path in site.silent:
                time.sleep(1)
                self.close_connection = True
                return
            page = site.pages.get(path, b"")
            status = site.status.get(path, 200 if path in site.pages else 404)
            if status != 200:
                self.send_error(status)
                return
            self.send_page(path, page, wanted)

        def send_page(self, path: str, page: bytes, wanted: str | None) -> None:
            start = 0
            if wanted and path not in site.without_ranges:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(page):
                    self.send_error(416)
                    return
                self.send_response(206)
                shown = 0 if path in site.wrong_range else start
                self.send_header("Content-Range", f"bytes {shown}-{len(page) - 1}/{len(page)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(page) - start))
            self.end_headers()
            cuts = site.cut_after.get(path)
            count = cuts.pop(0) if cuts else len(page)
            self.wfile.write(page[start : start + count])

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    served = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(served))
    server.daemon_threads = True
    served.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()

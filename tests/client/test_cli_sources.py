"""`--image` from an address: fetched by the command, within limits, from http servers only."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kandinsky_client.cli.failures import UsageError
from kandinsky_client.cli.main import main
from kandinsky_client.cli.sources import load_image
from tests.client.fake_service import FakeImageService, picture_file

SLOW_SECONDS = 0.02


class Handler(BaseHTTPRequestHandler):
    """Serves a picture, redirects, and what should never arrive."""

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            self._drip()
        elif self.path == "/sketch.png":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(picture_file())
        else:
            self.send_error(404, "Not here")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        pass

    def _drip(self) -> None:
        stopping: threading.Event = self.server.stopping  # type: ignore[attr-defined]
        try:
            while not stopping.wait(SLOW_SECONDS):
                self.wfile.write(bytes(2**16))
        except OSError:
            pass  # the client had enough


@pytest.fixture
def web() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.stopping = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.stopping.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_a_picture_is_fetched_also_through_a_redirect(web: str) -> None:
    assert load_image(f"{web}/sketch.png") == picture_file()
    assert load_image(f"{web}/to//sketch.png") == picture_file()


def test_the_server_gets_the_picture_and_not_its_address(
    web: str, server: str, service: FakeImageService, tmp_path: Path
) -> None:
    out = str(tmp_path / "out.png")
    address = f"{web}/sketch.png"
    assert main(["img2img", "--server", server, "--prompt", "p", "--image", address, "--out", out]) == 0
    assert service.requests[0].request.image == picture_file()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nothing", "HTTP status 404, Not here"),
        ("/to/file:///etc/passwd", "HTTP status 302, Found - Redirection to url 'file:///etc/passwd' is not allowed"),
        ("/to/ftp://127.0.0.1/x", "unknown url type: ftp"),
    ],
)
def test_what_cannot_be_fetched_is_said_with_its_flag(web: str, path: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_image(web + path)
    assert str(caught.value) == f"--image: {web}{path}: {reason}"


def test_a_picture_that_does_not_end_is_refused_by_its_size(web: str) -> None:
    with pytest.raises(UsageError, match="larger than 100000 bytes"):
        load_image(f"{web}/endless", max_bytes=100_000)


def test_a_picture_that_drips_is_refused_by_its_time(web: str) -> None:
    with pytest.raises(UsageError, match="took too long"):
        load_image(f"{web}/endless", fetch_seconds=5 * SLOW_SECONDS)


def test_a_server_that_is_not_there_is_said_in_a_line() -> None:
    with pytest.raises(UsageError, match="Connection refused"):
        load_image("http://127.0.0.1:1/x.png")


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(bytes(101))
    with pytest.raises(UsageError, match="larger than 100 bytes"):
        load_image(str(path), max_bytes=100)

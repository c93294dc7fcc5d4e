"""A stand-in for the hub: one repository, as huggingface_hub asks for it, and the ways in which a hub fails."""

import hashlib
import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

REPOSITORY = "painters/kandinsky"
MAIN, PINNED = "a" * 40, "b" * 40
FILES: Mapping[str, bytes] = {
    "README.md": b"# Kandinsky",
    "model_index.json": b'{"unet": ["diffusers", "UNet2DConditionModel"]}',
    "unet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": b"plain",
    "unet/diffusion_pytorch_model.fp16.safetensors": b"half",
    "unet/diffusion_pytorch_model.bin": b"pickle",
    "scheduler/scheduler_config.json": b"{}",
    "tokenizer/tokenizer.json": b"{}",
    "tokenizer/tokenizer_config.json": b"{}",
    "movq/config.json": b"{}",
    "movq/diffusion_pytorch_model.bin": b"pickle",
}


class StandInHub(ThreadingHTTPServer):
    """Serves one repository as the hub does: two revisions, of which the pinned one says so in its config.

    Attributes:
        revisions: what each commit holds.
        fetched: the files that were sent, in order.
        lost: a file that is listed and isn't there.
        spoilt: a file of which other bytes are sent than the listing says.
        cut: a file of which the connection ends after half.
    """

    # huggingface_hub connects from many threads at once: beyond a queue of five, which is the default, connections are
    # dropped, and tried again only after a second or more.
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.revisions = {MAIN: dict(FILES), PINNED: {**FILES, "unet/config.json": b'{"pinned": true}'}}
        self.fetched: list[str] = []
        self.lost: str | None = None
        self.spoilt: str | None = None
        self.cut: str | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: StandInHub

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        match unquote(urlsplit(self.path).path).strip("/").split("/"):
            case ["api", "models", owner, name, *rest] if f"{owner}/{name}" == REPOSITORY:
                self._describe(rest)
            case [owner, name, "resolve", revision, *path] if f"{owner}/{name}" == REPOSITORY:
                self._send_file(revision, "/".join(path), body)
            case _:
                self._refuse("RepoNotFound")

    def _describe(self, rest: list[str]) -> None:
        commit = {"main": MAIN}.get(rest[1], rest[1]) if len(rest) > 1 else MAIN
        files = self.server.revisions.get(commit)
        if files is None:
            self._refuse("RevisionNotFound")
            return
        tree = [{"type": "file", "path": name, "size": len(it), "oid": _git_digest(it)} for name, it in files.items()]
        siblings = [_sibling(name, content) for name, content in files.items()]
        is_tree = bool(rest) and rest[0] == "tree"
        self._send(json.dumps(tree if is_tree else {"id": REPOSITORY, "sha": commit, "siblings": siblings}).encode())

    def _send_file(self, revision: str, path: str, body: bool) -> None:
        commit = {"main": MAIN}.get(revision, revision)
        if path == self.server.lost:
            self._refuse("EntryNotFound")
            return
        content = self.server.revisions[commit][path]
        etag = _git_digest(content)
        if body:
            self.server.fetched.append(path)
            if path == self.server.spoilt:
                content = content[::-1]
        self._send(content, body, {"ETag": f'"{etag}"', "X-Repo-Commit": commit}, cut=path == self.server.cut)

    def _send(
        self, content: bytes, body: bool = True, headers: dict[str, str] | None = None, cut: bool = False
    ) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = cut

    def _refuse(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stays silent."""


def _sibling(name: str, content: bytes) -> dict[str, Any]:
    """What a listing with metadata says of a file; weights are stored with git LFS."""
    lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 128}
    return {
        "rfilename": name,
        "size": len(content),
        "blobId": _git_digest(content),
        **({"lfs": lfs} if name.endswith(".safetensors") else {}),
    }


def _git_digest(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()

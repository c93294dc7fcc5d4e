"""Serves metrics to autoscalers, as prometheus-adapter does."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from control_plane import Api, ControlPlane

ReadMetric = Callable[[str, Mapping[str, str]], float]

_METRICS_API = "v1beta1.external.metrics.k8s.io"


@contextmanager
def metrics_adapter(plane: ControlPlane, read: ReadMetric) -> Iterator[None]:
    """Serves external.metrics.k8s.io, as prometheus-adapter does, for the length of the body.

    Args:
        plane: where it is registered.
        read: the metric's value, given its name and the labels that are asked for.
    """

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(_metric_answer(self.path, read)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stays silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    plane.authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        _register(plane.api, server.server_port)
        yield
    finally:
        # Left behind without anybody who serves it, it would keep namespaces from being deleted.
        plane.api.call("DELETE", f"/apis/apiregistration.k8s.io/v1/apiservices/{_METRICS_API}")
        plane.api.call("DELETE", "/api/v1/namespaces/default/services/adapter")
        server.shutdown()
        server.server_close()
        thread.join()


def _metric_answer(path: str, read: ReadMetric) -> Any:
    parts = urlsplit(path)
    match parts.path.strip("/").split("/"):
        case ["apis", "external.metrics.k8s.io", "v1beta1", "namespaces", _, name]:
            (selector,) = parse_qs(parts.query)["labelSelector"]
            labels = dict(part.split("=", 1) for part in selector.split(","))
            item = {"metricName": name, "metricLabels": labels, "timestamp": "2026-01-01T00:00:00Z"}
            item["value"] = f"{round(read(name, labels) * 1000)}m"
            return {
                "kind": "ExternalMetricValueList",
                "apiVersion": "external.metrics.k8s.io/v1beta1",
                "metadata": {},
                "items": [item],
            }
    resource = {
        "name": "metrics",
        "singularName": "",
        "namespaced": True,
        "kind": "ExternalMetricValueList",
        "verbs": ["get"],
    }
    group = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "external.metrics.k8s.io/v1beta1"}
    return {**group, "resources": [resource]}


def _register(api: Api, port: int) -> None:
    service = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}
    metadata = {"name": "adapter", "namespace": "default"}
    api.call("POST", "/api/v1/namespaces/default/services", {"metadata": metadata, "spec": service})
    spec = {
        "service": {"name": "adapter", "namespace": "default", "port": port},
        "group": "external.metrics.k8s.io",
        "version": "v1beta1",
        "insecureSkipTLSVerify": True,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    name = {"name": _METRICS_API}
    api.call("POST", "/apis/apiregistration.k8s.io/v1/apiservices", {"metadata": name, "spec": spec})

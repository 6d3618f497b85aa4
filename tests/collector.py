"""A collector of OpenTelemetry traces that only keeps what it is sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """Receives OTLP over HTTP; ``url`` is where to send it."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
        self.spans: list[Span] = []
        self._more = threading.Condition()

    def receive(self, body: bytes) -> None:
        """Keep the spans of one export."""
        with self._more:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    self.spans.extend(scope.spans)
            self._more.notify_all()

    def wait_for(self, trace_id: str, names: set[str], seconds: float) -> list[Span]:
        """The spans of a trace, as soon as all ``names`` are among them."""

        def found() -> bool:
            return names <= {span.name for span in self._of(trace_id)}

        with self._more:
            assert self._more.wait_for(found, seconds), [span.name for span in self._of(trace_id)]
            return self._of(trace_id)

    def _of(self, trace_id: str) -> list[Span]:
        return [span for span in self.spans if span.trace_id.hex() == trace_id]


@contextmanager
def collector() -> Iterator[Collector]:
    """A running collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.receive(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept = Collector(server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

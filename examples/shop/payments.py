"""The service next door that takes payments: an example of a dependency that can fail. Standard library only.

    python payments.py [--port 8001]

`POST /charge` answers 200, `GET /health` too; after `POST /fail` both answer 500 until `POST /mend`.
"""

import argparse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    broken = False

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _ordinary(self, known: bool) -> None:
        if not known:
            self._answer(404, b"{}")
        elif Handler.broken:
            self._answer(500, b'{"status":"unhealthy"}')
        else:
            self._answer(200, b'{"status":"healthy"}')

    def do_GET(self):
        self._ordinary(self.path == "/health")

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path in ("/fail", "/mend"):
            Handler.broken = self.path == "/fail"
            self._answer(200, b"{}")
        else:
            self._ordinary(self.path == "/charge")

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=8001)
    chosen = arguments.parse_args()
    ThreadingHTTPServer((chosen.host, chosen.port), Handler).serve_forever()

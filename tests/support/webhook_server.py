"""A webhook on this machine: HTTPS on 127.0.0.1 with a certificate of its own.

Used by the tests of the chat, in place of Slack's.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Webhook:
    """What was posted, and what is answered.

    Attributes
    ----------
    url : str
        Where to post.
    certificate : Path
        What a client has to trust: the value of SSL_CERT_FILE.
    posted : list[dict[str, Any]]
        Messages that came with what was answered 200.
    answers : list[tuple[int, bytes, dict[str, str]]]
        Status, body and headers of the next answers; 200 and ok when there are no more.
    is_gone : bool
        Whether everything is answered as Slack answers where a webhook does not exist any more.
    """

    url: str
    certificate: Path
    posted: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[int, bytes, dict[str, str]]] = field(default_factory=list)
    is_gone: bool = False

    @property
    def hosts(self) -> list[str]:
        """Where it is, as the deployment lists it."""
        return [urlsplit(self.url).netloc]

    def answer(self) -> tuple[int, bytes, dict[str, str]]:
        """Return what the next request is answered with."""
        if self.is_gone:
            return 404, b"no_service", {}
        return self.answers.pop(0) if self.answers else (200, b"ok", {})


@contextmanager
def webhook_server(directory: Path) -> Iterator[Webhook]:
    """Run the server; its certificate and key are in `directory`."""
    certificate, key = _certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer, headers = webhook.answer()
            if status == 200:
                webhook.posted.append(body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the tests quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        webhook = Webhook(f"https://127.0.0.1:{server.server_port}/services/T0/B0/secret-7319", certificate)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield webhook
        finally:
            server.shutdown()
            thread.join()


def _certificate(directory: Path) -> tuple[Path, Path]:
    here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "webhook of a test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([here]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "certificate.pem", directory / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths

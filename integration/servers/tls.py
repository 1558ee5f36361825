"""A PostgreSQL server that speaks TLS, with a certificate that signs itself, made with OpenSSL."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from integration.servers.choosing import provider
from integration.servers.postgres_process import PostgresProcess
from integration.servers.postgres_providers import binaries
from integration.servers.requirements import missing, not_in_a_container

if TYPE_CHECKING:
    from pathlib import Path

    from integration.servers.postgres_binaries import Installation
    from integration.servers.registry import Servers
    from integration.servers.site import Site


class TlsPostgres(PostgresProcess):
    """A server that speaks TLS.

    Attributes:
        certificate: What it shows; a client may take it for its own authority.
    """

    def __init__(self, installation: Installation, site: Site, openssl: str) -> None:
        self.certificate, key = _make_certificate(openssl, site)
        settings = {"ssl": "on", "ssl_cert_file": str(self.certificate), "ssl_key_file": str(key)}
        super().__init__(installation, site, settings)


def provide_tls_postgres(servers: Servers) -> TlsPostgres:
    """Return a server that speaks TLS, at work, or end the test with the reason why there is none."""
    if provider() == "docker":
        not_in_a_container("certificate")
    openssl = shutil.which("openssl")
    able = [installation for installation in binaries().values() if installation.has_tls]
    if not openssl or not able:
        missing("tls", "there is no OpenSSL" if able else "no PostgreSQL here was built with it")
    return servers.get("tls", lambda site: TlsPostgres(able[0], site, openssl))


def _make_certificate(openssl: str, site: Site) -> tuple[Path, Path]:
    """Make a certificate for loopback, and return it and its key."""
    home = site.make_folder("tls")
    certificate, key = home / "certificate.pem", home / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    kind = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([openssl, *kind, "-keyout", key, "-out", certificate], check=True, capture_output=True)  # noqa: S603
    # The server refuses a key that others may read.
    key.chmod(0o600)
    site.account.own(home)
    return certificate, key

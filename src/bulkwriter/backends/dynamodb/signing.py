"""AWS's Signature Version 4, of requests that differ in nothing but their time, their operation and their body.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bulkwriter.backends.dynamodb.driver import Credentials

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


class Signing:
    """Signs requests to one endpoint, ``POST /`` each.

    What the parts of a signature have in common is made once: the key of a day, for the same credentials.

    Args:
        host: As it is sent: with its port, unless that is the scheme's own.
        region: The region that is signed for.
        service: The service's name in signatures.
        content_type: As it is sent.
    """

    def __init__(self, *, host: str, region: str, service: str, content_type: str) -> None:
        self._before_time = f"POST\n/\n\ncontent-type:{content_type}\nhost:{host}\nx-amz-date:"
        self._region = region
        self._service = service
        self._key = b""
        self._key_for: tuple[str, str] | None = None

    def headers(self, credentials: Credentials, target: str, body: bytes, moment: str) -> dict[str, str]:
        """Return the headers that sign a request.

        Args:
            credentials: Whose.
            target: The operation, as ``X-Amz-Target`` names it.
            body: The content.
            moment: The time, as ``moment_now`` gives it.
        """
        token = credentials.token
        names = "content-type;host;x-amz-date;x-amz-target"
        token_line = ""
        if token:
            names = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
            token_line = f"x-amz-security-token:{token}\n"
        digest = hashlib.sha256(body).hexdigest()
        asked = f"{self._before_time}{moment}\n{token_line}x-amz-target:{target}\n\n{names}\n{digest}"
        scope = f"{moment[:8]}/{self._region}/{self._service}/aws4_request"
        text = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
        signature = hmac.digest(self._key_of(credentials.secret_key, moment[:8]), text.encode(), "sha256").hex()
        headers = {
            "X-Amz-Date": moment,
            "Authorization": f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, "
            f"Signature={signature}",
        }
        if token:
            headers["X-Amz-Security-Token"] = token
        return headers

    def _key_of(self, secret: str, day: str) -> bytes:
        if self._key_for != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key, self._key_for = key, (secret, day)
        return self._key


def moment_now() -> str:
    """Return the time as signatures have it."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())

"""Requests are signed as botocore signs them."""

from __future__ import annotations

import dataclasses

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from bulkwriter.backends.dynamodb import driver
from bulkwriter.backends.dynamodb.signing import Signing, moment_now

TARGET = "DynamoDB_20120810.BatchWriteItem"


@dataclasses.dataclass
class Credentials:
    """Somebody's."""

    access_key: str = "AKIDEXAMPLE"
    secret_key: str = "secret/+"  # noqa: S105 - nobody's
    token: str | None = None


@pytest.mark.parametrize("token", [None, "token=="])
@pytest.mark.parametrize(
    "url", ["https://dynamodb.eu-central-1.amazonaws.com/", "http://localhost:8000/", "http://[::1]:8000/"]
)
def test_a_signature_is_botocores(url: str, token: str | None) -> None:
    """To the last letter, for whomever and wherever."""
    credentials = Credentials(token=token)
    body = '{"é": 1}'.encode()
    fixed = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": TARGET}
    request = AWSRequest("POST", url, headers=fixed, data=body)
    SigV4Auth(credentials, "dynamodb", "eu-central-1").add_auth(request)
    signing = Signing(
        host=driver.host_of(url), region="eu-central-1", service="dynamodb", content_type=fixed["Content-Type"]
    )
    ours = signing.headers(credentials, TARGET, body, request.headers["X-Amz-Date"])
    theirs = dict(request.headers.items())
    assert ours == {name: value for name, value in theirs.items() if name not in fixed}


def test_a_key_is_made_anew_for_another_day_and_for_other_credentials() -> None:
    """It is kept only while it is the same."""
    signing = Signing(host="localhost", region="r", service="dynamodb", content_type="c")
    cases = [(Credentials(), "20260101T000000Z"), (Credentials(), "20260102T000000Z")]
    cases.append((Credentials(secret_key="another"), "20260102T000000Z"))  # noqa: S106
    first = [signing.headers(credentials, TARGET, b"", moment)["Authorization"] for credentials, moment in cases]
    again = [signing.headers(credentials, TARGET, b"", moment)["Authorization"] for credentials, moment in cases]
    assert first == again
    assert len(set(first)) == 3


def test_the_time_is_told_as_signatures_have_it() -> None:
    """In seconds, of UTC."""
    assert len(moment_now()) == len("20260101T000000Z")
    assert moment_now().endswith("Z")

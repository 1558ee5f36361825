"""The options of ``DynamoDBBackend``, checked at construction."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from bulkwriter.backends.dynamodb import driver
from bulkwriter.backends.dynamodb.errors import BACKEND
from bulkwriter.contract import OnConflict
from bulkwriter.options import OptionCheck

Transport: TypeAlias = Literal["auto", "client", "direct"]

_NEVER: Final = {
    "update_columns": "a put replaces the whole item, so update_columns cannot be honoured",
    "update_where": "puts have no condition of the caller's, so update_where cannot be honoured",
    "ledger": "DynamoDB has no ledger: what became of a put is found out by repeating it",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller asked for; see ``DynamoDBBackend`` for what each means."""

    table: str
    client: Any
    session: Any
    columns: tuple[str, ...] | None
    on_conflict: OnConflict
    conflict_columns: tuple[str, ...] | None
    tells_updated: bool
    write_token: str | None
    region_name: str | None
    endpoint_url: str | None
    connect_timeout: float
    read_timeout: float
    max_connections: int
    transport: Transport

    @property
    def is_single(self) -> bool:
        """Whether each put must be a request of its own, since its answer depends on what was there."""
        return self.on_conflict != "update" or self.tells_updated


def checked(
    *,
    session_or_client: object,
    table: object,
    columns: object,
    on_conflict: object,
    conflict_columns: object,
    update_columns: object,
    update_where: object,
    returning: object,
    ledger: object,
    tells_updated: object,
    write_token: object,
    region_name: object,
    endpoint_url: object,
    connect_timeout: object,
    read_timeout: object,
    max_connections: object,
    transport: object,
) -> Options:
    """Check everything that can be checked without the service.

    Raises:
        MisconfigurationError: An option is wrong; the message says what would be right.
    """
    check = OptionCheck(BACKEND, table)
    for option, value in (
        ("update_columns", update_columns),
        ("update_where", update_where),
        ("ledger", ledger or None),
    ):
        if value is not None:
            check.refuse(_NEVER[option])
    if check.names("returning", returning, may_be_empty=True):
        check.refuse("DynamoDB computes no attribute that could be given back, so returning cannot be honoured")
    policy = cast("OnConflict", check.word("on_conflict", on_conflict, get_args(OnConflict)))
    tells = check.flag("tells_updated", tells_updated)
    if tells and policy != "update":
        check.refuse_value('tells_updated needs on_conflict="update"', policy)
    if write_token is not None and policy == "update":
        check.refuse_value('write_token needs on_conflict="error" or "skip"', policy)
    is_client = driver.is_client(session_or_client)
    options = Options(
        table=check.table,
        client=session_or_client if is_client else None,
        session=None if is_client else _session(check, session_or_client),
        columns=check.names("columns", columns),
        on_conflict=policy,
        conflict_columns=check.names("conflict_columns", conflict_columns),
        tells_updated=tells,
        write_token=None if write_token is None else check.text("write_token", write_token),
        region_name=None if region_name is None else check.text("region_name", region_name),
        endpoint_url=None if endpoint_url is None else check.text("endpoint_url", endpoint_url),
        connect_timeout=check.seconds("connect_timeout", connect_timeout, may_be_zero=False),
        read_timeout=check.seconds("read_timeout", read_timeout, may_be_zero=False),
        max_connections=_count(check, "max_connections", max_connections),
        transport=cast("Transport", check.word("transport", transport, get_args(Transport))),
    )
    _check_client(check, options)
    return options


def _session(check: OptionCheck, given: object) -> Any:
    session = driver.session_of(given)
    if session is None:
        check.refuse(
            "the first argument must be a session of aioboto3 or aiobotocore, a client for DynamoDB made by one of "
            f"them, or None for the credentials of the environment, not {type(given).__qualname__}"
        )
    return session


def _check_client(check: OptionCheck, options: Options) -> None:
    if options.client is None:
        return
    for name in ("region_name", "endpoint_url"):
        if getattr(options, name) is not None:
            check.refuse(f"{name} belongs to the client, which has its own: give it where the client is made")
    if options.is_single and driver.retries_by_itself(options.client):
        check.refuse(
            "a client that sends requests again by itself takes its own item for another's: hand over the session, or "
            'make the client with AioConfig(retries={"total_max_attempts": 1})'
        )


def _count(check: OptionCheck, option: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    return check.refuse_value(f"{option} must be an integer of 1 or more", value)

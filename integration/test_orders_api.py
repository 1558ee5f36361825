"""The web service of the examples, over HTTP: each kind of answer has its status, and what is told is so."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import httpx

from integration.eventually import eventually
from integration.servers.addresses import URL_VARIABLES
from integration.servers.ports import LOOPBACK, free_port
from integration.servers.postgres import PostgresServer
from integration.servers.requirements import not_ours

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.servers.scratch import Scratch

ROOT = Path(__file__).parents[1]

Service: TypeAlias = tuple[httpx.AsyncClient, subprocess.Popen[str]]


@contextlib.asynccontextmanager
async def service(postgres: Scratch, **environment: str) -> AsyncIterator[Service]:
    """Run the service in a process of its own, as one would, and give a client of it."""
    columns = "id int PRIMARY KEY, customer text NOT NULL, amount int CHECK (amount > 0)"
    await postgres.execute(f"CREATE TABLE orders ({columns})")
    port = free_port()
    variables = {**os.environ, "DATABASE_URL": postgres.url, "ORDERS": postgres.name("orders"), **environment}
    command = [sys.executable, "-m", "uvicorn", "examples.orders_api:app", "--host", LOOPBACK, "--port", str(port)]
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - it is started once, and spoken to over HTTP
        command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", timeout=60, trust_env=False) as client:

            async def is_up() -> bool:
                assert process.poll() is None, process.communicate()[0]
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get("/health")).is_success
                return False

            await eventually(is_up)
            yield client, process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def order(number: int, **other: object) -> dict[str, object]:
    """Return what a client sends."""
    return {"id": number, "customer": f"customer {number}", "amount": 5, **other}


async def test_each_kind_of_answer_has_its_status(postgres: Scratch) -> None:
    """Those of a hundred good orders, of one that is there already, and of bad ones among them."""
    async with service(postgres) as (client, _):
        sent = [order(number) for number in range(100)]
        bad = [order(100, amount=-1), order(101, customer="a\0b"), order(3), order(2**31)]
        first = await client.post("/orders", json=sent[3])
        assert (first.status_code, first.json()) == (201, {"id": 3, "outcome": "inserted"})
        answers = await asyncio.gather(*(client.post("/orders", json=each) for each in [*sent, *bad]))
        statuses = [answer.status_code for answer in answers]
        assert [answer.json().get("error") for answer in answers[100:]] == [
            "CheckViolationError",
            "InvalidValueError",
            "UniqueViolationError",
            "InvalidValueError",
        ]
        assert statuses == [409 if number == 3 else 201 for number in range(100)] + [422, 422, 409, 422]
        assert "customer 3" not in answers[3].text
    assert await postgres.value("SELECT count(*) FROM orders") == 100


async def test_a_server_that_is_away_is_told_as_such(postgres: Scratch) -> None:
    """A client hears that it may send again; once the server is back, its order is stored, and stored once."""
    if not isinstance(postgres.server, PostgresServer):
        not_ours("postgres", URL_VARIABLES["postgres"])
    async with service(postgres, ORDER_TIMEOUT="1") as (client, _):
        postgres.server.stop()
        answer = await client.post("/orders", json=order(1))
        # The deadline may come while it is just being tried again.
        assert answer.status_code in {503, 504}
        assert answer.headers.get("Retry-After") == ("1" if answer.status_code == 503 else None)
        postgres.server.revive()
        again = answer
        while again.status_code in {503, 504}:
            again = await client.post("/orders", json=order(1))
        # 409 is said to whoever sends again what was stored while it heard 504.
        assert again.status_code in {201, 409}
    assert await postgres.value("SELECT count(*) FROM orders") == 1


async def test_what_was_accepted_is_finished_when_the_service_is_asked_to_end(postgres: Scratch) -> None:
    """A lock holds the orders up while SIGTERM comes: the clients still hear that they are stored."""
    async with service(postgres) as (client, process), postgres.connect() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("LOCK TABLE orders")
        sending = asyncio.gather(*(client.post("/orders", json=order(number)) for number in range(20)))

        async def are_in() -> bool:
            return bool((await client.get("/health")).json()["accepted"] == 20)

        await eventually(are_in)
        process.send_signal(signal.SIGTERM)
        await transaction.rollback()
        assert {answer.status_code for answer in await sending} == {201}
        await asyncio.to_thread(process.wait, 30)
    assert await postgres.value("SELECT count(*) FROM orders") == 20

"""Failures that leave open whether the write was done: settled, or said to be unknown."""

# ruff: noqa: PLR2004 - the numbers of a test are its example

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter.errors import NotWrittenError, OutcomeUnknownError, RowRejectedError
from bulkwriter.results import Outcome, WriteResult
from bulkwriter.retry import RetryPolicy
from bulkwriter.testing.conformance.scene import Scene, make_row
from bulkwriter.testing.faults import FaultScript

if TYPE_CHECKING:
    from collections.abc import Callable

IMPATIENT = RetryPolicy(max_time=0.2, initial_backoff=0.001, max_backoff=0.01)
HASTY = RetryPolicy(max_time=30, attempt_timeout=0.25, initial_backoff=0.001, max_backoff=0.01)
LEDGER = pytest.mark.parametrize("ledger", [False, True], ids=["without a ledger", "with a ledger"])


class BrokenOffError(BaseException):
    """Something that is not even an ``Exception``."""


COMMITTED: dict[str, Callable[[], FaultScript]] = {
    "a lost acknowledgement": lambda: FaultScript().lose_acknowledgement(),
    "an error after the commit": lambda: FaultScript().fail_after_commit(),
    "any exception after the commit": lambda: FaultScript().raising(ValueError, after_commit=True),
    "a cancellation after the commit": lambda: FaultScript().raising(asyncio.CancelledError, after_commit=True),
    "a reply that is too short": lambda: FaultScript().short_reply(),
    "a reply that is too long": lambda: FaultScript().short_reply(-1),
    "a reply of None": lambda: FaultScript().reply(None),
    "a reply of nonsense": lambda: FaultScript().reply(["inserted"] * 10),
}
NOT_COMMITTED: dict[str, Callable[[], FaultScript]] = {
    "a lost request": lambda: FaultScript().lose_request(),
    "any exception before the commit": lambda: FaultScript().raising(ValueError),
    "a cancellation before the commit": lambda: FaultScript().raising(asyncio.CancelledError),
}


class SettlingPromises:
    """``unknown`` is said only where nobody can know, and nothing else is said where nobody knows."""

    @LEDGER
    @pytest.mark.parametrize("failure", COMMITTED)
    async def test_what_was_committed_is_told_or_unknown(self, scene: Scene, failure: str, *, ledger: bool) -> None:
        """Where the backend can settle, every caller hears the truth; else ``OutcomeUnknownError``, and never a lie."""
        writer = await scene.writer(COMMITTED[failure](), ledger=ledger)
        answers = await scene.submit(writer, [make_row(number) for number in range(10)])
        self.assert_told(scene, answers, ledger=ledger)
        assert len(await scene.target.rows()) == 10

    @LEDGER
    @pytest.mark.parametrize("failure", NOT_COMMITTED)
    async def test_what_never_arrived_is_stored_once_or_unknown(
        self, scene: Scene, failure: str, *, ledger: bool
    ) -> None:
        """Where the backend can settle, the rows are sent again; else their callers hear ``OutcomeUnknownError``."""
        writer = await scene.writer(NOT_COMMITTED[failure](), ledger=ledger)
        answers = await scene.submit(writer, [make_row(number) for number in range(10)])
        # A backend may know that nothing was ever sent, also without a ledger.
        if scene.can_settle(ledger=ledger) or not any(isinstance(answer, OutcomeUnknownError) for answer in answers):
            self.assert_told(scene, answers, ledger=True)
        else:
            self.assert_told(scene, answers, ledger=False)

    @LEDGER
    async def test_a_lone_row_is_held_to_the_same_promise(self, scene: Scene, *, ledger: bool) -> None:
        """A batch of one is no shortcut past the proof."""
        writer = await scene.writer(FaultScript().lose_acknowledgement(), ledger=ledger)
        answers = await scene.submit(writer, [make_row(1)])
        self.assert_told(scene, answers, ledger=ledger)

    @pytest.mark.parametrize("policy", ["skip", "update"])
    async def test_verdicts_survive_a_lost_acknowledgement(self, scene: Scene, policy: Any) -> None:
        """With a ledger the callers hear what they would have heard: inserted, updated, skipped."""
        scene.need_policy(policy)
        await scene.seed(make_row(1, note="first"))
        writer = await scene.writer(FaultScript().lose_acknowledgement(), on_conflict=policy, ledger=True)
        answers = await scene.submit(writer, [make_row(1, note="second"), make_row(2, note="third")])
        known = Outcome.SKIPPED if policy == "skip" else scene.changed
        outcomes = [answer.outcome for answer in answers if isinstance(answer, WriteResult)]
        assert outcomes == [known, scene.new(policy)]

    @LEDGER
    async def test_a_lost_delete_is_settled_too(self, scene: Scene, *, ledger: bool) -> None:
        """A delete is a write like any other, and may be repeated without harm."""
        scene.need("delete")
        await scene.seed(make_row(1))
        writer = await scene.writer(FaultScript().lose_acknowledgement(), ledger=ledger)
        answer = await scene.delete(writer, 1)
        if scene.can_settle(ledger=ledger):
            assert isinstance(answer, WriteResult)
            assert answer.outcome is Outcome.DELETED
        else:
            assert answer.outcome is Outcome.DELETED if isinstance(answer, WriteResult) else answer

    @LEDGER
    async def test_bad_rows_and_a_lost_acknowledgement_together(self, scene: Scene, *, ledger: bool) -> None:
        """The bad rows are rejected, and of the others every caller hears the truth or ``unknown``."""
        faults = FaultScript().poison(lambda row: row["id"] in (3, 7)).lose_acknowledgement()
        writer = await scene.writer(faults, ledger=ledger)
        answers = await scene.submit(writer, [make_row(number) for number in range(10)])
        for number, answer in enumerate(answers):
            if number in (3, 7) and scene.can_settle(ledger=ledger):
                assert isinstance(answer, RowRejectedError), answer
            elif scene.can_settle(ledger=ledger):
                assert isinstance(answer, WriteResult), answer
            else:
                assert isinstance(answer, WriteResult | RowRejectedError | OutcomeUnknownError), answer

    async def test_settling_is_asked_again_while_nobody_can_tell(self, scene: Scene) -> None:
        """A database that is out of reach for a moment is asked again, and then tells."""
        ledger = self.settling(scene)
        faults = FaultScript().lose_acknowledgement().refuse_settle(times=3)
        writer = await scene.writer(faults, ledger=ledger)
        answers = await scene.submit(writer, [make_row(number) for number in range(10)])
        self.assert_told(scene, answers, ledger=True)

    @pytest.mark.parametrize("nonsense", [None, [], ["inserted"] * 10, [WriteResult(Outcome.INSERTED)] * 9])
    async def test_nonsense_about_what_became_of_an_attempt_is_not_believed(self, scene: Scene, nonsense: Any) -> None:
        """A settling that does not answer for every row has told nothing, and is asked again."""
        ledger = self.settling(scene)
        faults = FaultScript().lose_request().reply(nonsense, during="settle")
        writer = await scene.writer(faults, ledger=ledger)
        answers = await scene.submit(writer, [make_row(number) for number in range(10)])
        self.assert_told(scene, answers, ledger=True)

    @LEDGER
    async def test_doubt_about_some_rows_leaves_the_others_alone(self, scene: Scene, *, ledger: bool) -> None:
        """What was acknowledged is told at once; only the rest is settled, or unknown."""
        writer = await scene.writer(FaultScript().lose_acknowledgement(3), ledger=ledger)
        answers = await scene.submit(writer, [make_row(number) for number in range(10)])
        self.assert_told(scene, answers[:7], ledger=True)
        self.assert_told(scene, answers[7:], ledger=ledger)

    async def test_an_outage_while_settling_is_waited_out(self, scene: Scene) -> None:
        """The acknowledgement is lost because the server goes away; when it is back it is asked."""
        ledger = self.settling(scene)
        faults = FaultScript().lose_acknowledgement().raising(ConnectionResetError, during="settle", times=4)
        writer = await scene.writer(faults, ledger=ledger)
        answers = await scene.submit(writer, [make_row(number) for number in range(10)])
        self.assert_told(scene, answers, ledger=True)

    async def test_what_stays_in_doubt_beyond_the_settling_time_is_unknown(self, scene: Scene) -> None:
        """A database that stays out of reach leaves its rows unknown, and nobody waiting."""
        ledger = self.settling(scene)
        faults = FaultScript().lose_acknowledgement().refuse_settle(times=-1)
        writer = await scene.writer(faults, ledger=ledger, retry=IMPATIENT)
        answers = await scene.submit(writer, [make_row(number) for number in range(10)])
        assert all(isinstance(answer, OutcomeUnknownError) for answer in answers), answers
        assert all(answer.safe_to_retry is False for answer in answers if isinstance(answer, OutcomeUnknownError))

    async def test_what_nobody_will_ever_know_is_unknown_at_once(self, scene: Scene) -> None:
        """A backend that says so ends the asking."""
        ledger = self.settling(scene)
        faults = FaultScript().lose_acknowledgement().refuse_settle(for_good=True)
        writer = await scene.writer(faults, ledger=ledger)
        answer = await scene.insert(writer, make_row(1))
        assert isinstance(answer, OutcomeUnknownError)
        assert answer.__cause__ is not None
        assert answer.attempts == 1

    @LEDGER
    @pytest.mark.parametrize("after_commit", [False, True], ids=["before the commit", "after the commit"])
    async def test_an_attempt_that_hangs_is_given_up_and_settled(
        self, scene: Scene, *, after_commit: bool, ledger: bool
    ) -> None:
        """``attempt_timeout`` ends the waiting, and what was given up is never taken for failed."""
        faults = FaultScript().hang(after_commit=after_commit)
        writer = await scene.writer(faults, ledger=ledger, retry=HASTY)
        answers = await scene.submit(writer, [make_row(number) for number in range(5)])
        if scene.can_settle(ledger=ledger):
            self.assert_told(scene, answers, ledger=True)
        else:
            assert not any(isinstance(answer, NotWrittenError | RowRejectedError) for answer in answers), answers

    async def test_something_worse_than_an_exception_leaves_nobody_waiting(self, scene: Scene) -> None:
        """Even a ``BaseException`` out of the backend ends in an answer for every caller, and the writer goes on."""
        faults = FaultScript().raising(BrokenOffError)
        writer = await scene.writer(faults)
        answers = await scene.submit(writer, [make_row(number) for number in range(5)])
        assert not any(isinstance(answer, RowRejectedError) for answer in answers)
        later = await scene.insert(writer, make_row(10))
        assert isinstance(later, WriteResult)

    def settling(self, scene: Scene) -> bool:
        """Return whether a ledger is needed to settle; skip the test if nothing helps."""
        if not (scene.capabilities.settles or scene.capabilities.ledger):
            scene.decline("way to settle a lost acknowledgement")
        return scene.capabilities.ledger

    def assert_told(self, scene: Scene, answers: list[Any], *, ledger: bool) -> None:
        """Check that every caller heard that its row is stored, or if that cannot be known, that it is unknown."""
        for answer in answers:
            # An answer that never reached the engine may have reached the backend, which then knows all the same.
            if scene.can_settle(ledger=ledger) or isinstance(answer, WriteResult):
                assert isinstance(answer, WriteResult), answer
                assert answer.outcome is scene.new()
            else:
                assert isinstance(answer, OutcomeUnknownError), answer
                assert answer.safe_to_retry is False

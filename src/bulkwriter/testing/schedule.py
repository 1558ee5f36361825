"""Which fault is next: the ordered ones first, then those by chance."""

from __future__ import annotations

import collections
import dataclasses
import random
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkwriter.testing.actions import Action

During: TypeAlias = Literal["attempt", "settle", "open"]


@dataclasses.dataclass(slots=True, eq=False)
class Step:
    """A fault of a script.

    Attributes:
        fault: Its name.
        action: What it does to a call; ``None`` lets it pass.
        left: For how many calls it is still to come; -1 = for ever.
        has_hit: Whether it has happened.
    """

    fault: str
    action: Action | None
    left: int
    has_hit: bool = False


class Schedule:
    """The steps to come, for each kind of call."""

    def __init__(self) -> None:
        self._steps: dict[During, collections.deque[Step]] = {
            "attempt": collections.deque(),
            "settle": collections.deque(),
            "open": collections.deque(),
        }
        self._choice = random.Random()  # noqa: S311 - seeded before it is used, guards no secret
        self._drawn_from: Sequence[Step] = ()
        self._rate = 0.0
        self._draws = 0

    def __len__(self) -> int:
        return sum(map(len, self._steps.values()))

    @property
    def is_spent(self) -> bool:
        """Whether every fault has come; one that is to go on for ever has when it came once."""
        steps = [step for queue in self._steps.values() for step in queue if step.action is not None]
        return all(step.has_hit and step.left < 0 for step in steps)

    def add(self, during: During, step: Step) -> None:
        """Append a step."""
        self._steps[during].append(step)

    def steps(self, during: During) -> list[Step]:
        """Return the steps to come for one kind of call."""
        return list(self._steps[during])

    def then_draw(self, seed: int, rate: float, steps: Sequence[Step], at_most: int) -> None:
        """After the last step for attempts, draw from these."""
        self._choice = random.Random(seed)  # noqa: S311 - reproducible, guards no secret
        self._rate = rate
        self._drawn_from = steps
        self._draws = at_most

    def take(self, during: During) -> Step | None:
        """Return the step that is due, and count it as done: calls that run at once each take their own."""
        queue = self._steps[during]
        while queue and queue[0].left == 0:
            queue.popleft()
        if not queue:
            return self._draw() if during == "attempt" else None
        step = queue[0]
        step.left -= step.left > 0
        if step.left == 0:
            queue.popleft()
        return step

    def put_back(self, during: During, step: Step) -> None:
        """Let a step that found nothing to befall come first again."""
        if step.left < 0:
            return
        step.left += 1
        if step not in self._steps[during]:
            self._steps[during].appendleft(step)

    def _draw(self) -> Step | None:
        if not self._drawn_from or self._draws == 0 or self._choice.random() >= self._rate:
            return None
        self._draws -= self._draws > 0
        # A fault by chance that finds nothing to befall is not put back: it would come first the next time.
        return dataclasses.replace(self._choice.choice(self._drawn_from), left=-1)

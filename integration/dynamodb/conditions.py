"""DynamoDB's condition expressions, as far as writers use them: functions of presence, comparisons, AND, OR, NOT."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

from integration.dynamodb.values import RuleError, identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TOKEN = re.compile(r"\s*(<>|<=|>=|[()=<>,]|[#:]?\w+)")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Condition:
    """A condition that an item may meet.

    Args:
        text: The expression.
        names: What its ``#names`` stand for.
        values: What its ``:values`` stand for.

    Raises:
        RuleError: It is none.
    """

    def __init__(self, text: str, names: Mapping[str, str], values: Mapping[str, Any]) -> None:
        self._tokens = _TOKEN.findall(text)
        if "".join(self._tokens) != re.sub(r"\s", "", text):
            message = f"Invalid ConditionExpression: Syntax error; {text}"
            raise RuleError(message)
        self._names = names
        self._values = values

    def is_met(self, item: Mapping[str, Any]) -> bool:
        """Whether an item meets it; one that is not there has no attributes."""
        self._item = item
        self._left = list(self._tokens)
        found = self._either()
        if self._left:
            self._fail()
        return found

    # Each level reads all of its part before it decides: what is not needed for the answer is to be read over too.

    def _either(self) -> bool:
        found = self._both()
        while self._take("OR"):
            found = self._both() or found
        return found

    def _both(self) -> bool:
        found = self._single()
        while self._take("AND"):
            found = self._single() and found
        return found

    def _single(self) -> bool:
        if self._take("NOT"):
            return not self._single()
        if self._take("("):
            found = self._either()
            self._expect(")")
            return found
        for function, is_there in (("attribute_exists", True), ("attribute_not_exists", False)):
            if self._take(function):
                self._expect("(")
                name = self._name(self._next())
                self._expect(")")
                return (name in self._item) is is_there
        return self._comparison()

    def _comparison(self) -> bool:
        left = self._operand()
        compare = _COMPARISONS.get(self._next()) or self._fail()
        right = self._operand()
        if left is None or right is None:
            # What is not there is different from everything, and neither more nor less than anything.
            return compare is operator.ne
        mine, other = identity(left), identity(right)
        if compare in {operator.eq, operator.ne}:
            return compare(mine, other)
        return mine[0] == other[0] and compare(mine[1], other[1])

    def _operand(self) -> Mapping[str, Any] | None:
        token = self._next()
        if token.startswith(":"):
            if token not in self._values:
                self._fail()
            found: Mapping[str, Any] = self._values[token]
            return found
        return self._item.get(self._name(token))

    def _name(self, token: str) -> str:
        if not token.startswith("#"):
            return token
        if token not in self._names:
            self._fail()
        return self._names[token]

    def _next(self) -> str:
        if not self._left:
            self._fail()
        token: str = self._left.pop(0)
        return token

    def _take(self, token: str) -> bool:
        if self._left and self._left[0].upper() == token.upper():
            self._left.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            self._fail()

    def _fail(self) -> Any:
        message = f"Invalid ConditionExpression: Syntax error; {' '.join(self._tokens)}"
        raise RuleError(message)

"""Frozen values: what crosses the interface and must not change on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

if TYPE_CHECKING:
    from typing import Self


class Value:
    """Compares, hashes, copies and shows itself by what its class and those above it list in ``__slots__``.

    What a frozen dataclass would be. But to define one of those takes as long as to load a whole module of this
    library: ten of them were half of what importing it cost.
    """

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # mypy takes it for a constant of the class that set it first.
        cls.__match_args__ = (*cls.__match_args__, *cls.__dict__.get("__slots__", ()))  # type: ignore[misc]

    def _hold(self, **values: Any) -> None:
        """Set attributes: for ``__init__`` alone."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes by name, in their order."""
        return {name: getattr(self, name) for name in self.__match_args__}

    def __setattr__(self, name: str, value: object) -> NoReturn:
        message = f"a {type(self).__name__} cannot be changed: {name!r} stays as it is"
        raise AttributeError(message)

    def __delattr__(self, name: str) -> NoReturn:
        self.__setattr__(name, None)

    def but(self, **changes: Any) -> Self:
        """Return a value that differs in these attributes."""
        return type(self)(**{**self.as_dict(), **changes})

    # What copy.replace asks for, from Python 3.13 on.
    __replace__ = but

    def __getstate__(self) -> dict[str, Any]:
        return self.as_dict()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._hold(**state)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__match_args__)

    def __hash__(self) -> int:
        return hash(tuple(self.as_dict().values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.as_dict().items())})"

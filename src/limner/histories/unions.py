"""What belongs together, from pairs that do: a union-find with path halving and union by size."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Unions(Generic[T]):
    """Groups that grow together pair by pair. Members are known once they were joined to something."""

    def __init__(self, pairs: Iterable[tuple[T, T]] = ()) -> None:
        """Joins each of some pairs."""
        self._parent: dict[T, T] = {}
        self._size: dict[T, int] = {}
        for first, second in pairs:
            self.join(first, second)

    def find(self, member: T) -> T:
        """The member that stands for the whole group."""
        parent = self._parent
        if member not in parent:
            parent[member], self._size[member] = member, 1
            return member
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    def join(self, first: T, second: T) -> None:
        """Makes the groups of two members one."""
        one, other = self.find(first), self.find(second)
        if one == other:
            return
        if self._size[one] < self._size[other]:
            one, other = other, one
        self._parent[other] = one
        self._size[one] += self._size.pop(other)

    def groups(self) -> list[list[T]]:
        """All groups with their members, in the order in which the members were first seen."""
        found: dict[T, list[T]] = {}
        for member in self._parent:
            found.setdefault(self.find(member), []).append(member)
        return list(found.values())

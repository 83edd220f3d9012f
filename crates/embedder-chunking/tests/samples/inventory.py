"""Keeps track of what is on the shelves."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Iterator

if TYPE_CHECKING:
    from .pricing import Price

DEFAULT_SHELF: str = "A1"
LOW, HIGH = 5, 500


@dataclasses.dataclass(frozen=True)
class Item:
    """Something that can be sold."""

    name: str
    count: int = 0

    @property
    def scarce(self) -> bool:
        return self.count < LOW

    class Meta:
        ordering = ["name"]


# Errors that a caller is expected to handle.
class OutOfStock(Exception):
    def __init__(self, item: Item) -> None:
        super().__init__(f"{item.name!r} is out of stock")
        self.item = item


async def restock(items: list[Item], *, limit: int = HIGH) -> Iterator[Item]:
    """Yields the items that need more.

    The order is that of the shelves.
    """
    for item in items:
        match item.count:
            case 0:
                raise OutOfStock(item)
            case n if n < limit:
                yield dataclasses.replace(item, count=limit)
            case _:
                pass


try:
    import tomllib
except ImportError:
    tomllib = None

total = lambda items: sum(i.count for i in items)

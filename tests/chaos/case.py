"""A fault with a name; each file of cases/ holds one as `CASE`."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.chaos import cases
from tests.chaos.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    sentence: str
    """What is done to the product, for `CASE=list`."""
    inject: Callable[[Run], None]
    """Orders the messages and injects the fault. Returns when both are over; the rig then waits for the end."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """The product's, where they differ from the rig's."""
    messages: int | None = None
    """Its own number, where the fault needs one."""
    about_answers: bool = False
    """It says itself what unanswered sends may cost. For all others they are a busy machine's doing, which the record
    counts: whether a service took them is unknown, so they may come twice."""


def all_cases() -> dict[str, Case]:
    """By name, `none` first."""
    names = [module.name for module in pkgutil.iter_modules(cases.__path__)]
    found: list[Case] = [importlib.import_module(f"{cases.__name__}.{name}").CASE for name in names]
    return {case.name: case for case in sorted(found, key=lambda case: (case.name != "none", case.name))}

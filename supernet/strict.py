"""The base of every settings class, and the numbers that they share."""

from __future__ import annotations

from string import ascii_uppercase
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
LETTERS = ascii_uppercase  # of sizes that have more than one digit


def _differ(values: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse none, and two that forms would name alike."""
    names = {f"{value:g}" if isinstance(value, float) else str(value) for value in values}
    if not values or len(names) != len(values):
        raise ValueError("expected one or more different numbers")
    return values


def have_letters(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse more sizes than there are letters for."""
    if sum(size > 9 for size in sizes) > len(LETTERS):
        raise ValueError(f"expected at most {len(LETTERS)} numbers above 9, which a genome has letters for")
    return sizes


Sizes = Annotated[tuple[Positive, ...], AfterValidator(_differ), AfterValidator(have_letters)]
Scales = Annotated[tuple[float, ...], AfterValidator(_differ)]


class Settings(BaseModel):
    """The base of every settings class: values are frozen, unknown keys are refused, types are not coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


STORED = {"stored": True}  # context of a validation: of what was valid when a campaign began with it


def is_stored(info: ValidationInfo) -> bool:
    """Whether a rule that is younger than the settings must let them pass."""
    return bool((info.context or {}).get("stored"))

"""What a person may set about the workers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from supernet.settings import Positive, Settings


class WorkerSettings(Settings):
    """Who scores candidates, and on what."""

    backend: Literal["local", "ray"] = Field(
        default="ray", description="`ray`: actors, here or on a cluster; `local`: this process, one at a time"
    )
    count: Positive = Field(default=1, description="Ray actors that score candidates (the local backend has one)")
    gpus_per_worker: float = Field(default=0.0, ge=0, description="GPUs an actor reserves; a fraction shares one")
    threads: Positive | None = Field(
        default=None,
        description="CPU threads a worker, and of training; default: this machine's cores, which workers share",
    )
    timeout: float = Field(default=120.0, gt=0, description="seconds a candidate may take before its actor is replaced")
    attempts: Positive = Field(default=3, description="times a candidate is tried when its worker dies")
    address: str | None = Field(
        default=None, description="Ray cluster to join (`auto`, `HOST:6379`); default: start one here"
    )

    @field_validator("gpus_per_worker", "timeout", mode="before")
    @classmethod
    def _whole_numbers_are_floats(cls, value: object) -> object:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

"""A campaign's configuration: YAML in, frozen settings out, every mistake named where it was made."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from glora_search.ranking import Choice, Rank
from supernet.errors import BadInput, Missing
from supernet.settings import (
    STORED,
    BackboneSettings,
    DataSettings,
    Positive,
    Settings,
    SpaceSettings,
    TrainingSettings,
)
from workers.settings import WorkerSettings


class _Yaml(yaml.SafeLoader):
    """YAML as people write it: PyYAML follows YAML 1.1, to which `1e-3` is a text; in YAML 1.2 it is a number."""


_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)

# What a text makes PyYAML raise; the last three, where a tag such as `!!float` stands before what is none.
NOT_YAML = (yaml.YAMLError, ValueError, AttributeError, LookupError)

# What a campaign did that was launched before there was such a setting.
EARLIER: Mapping[str, Mapping[str, Any]] = {
    "training": {
        "head": "random",
        "vector_rate": 1.0,
        "draws": "uniform",
        "method_first": 0.0,
        "method_last": 0.0,
        "memory": 0.0,
        "calibration": False,
    },
    "search": {"rank": "accuracy", "first": "trained", "views": 0, "choice": "best"},
}

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


class SearchSettings(Settings):
    """How genomes are proposed and chosen. The default sizes are the paper's: 50 + 20 x 50 = 1,050 candidates."""

    algorithm: Literal["evolution", "nsga2", "random"] = Field(
        default="evolution",
        description="`evolution` (by `rank`), `nsga2` (error and parameters) or `random` (as many draws)",
    )
    rank: Rank = Field(
        default="loss",
        description="what makes a candidate better, as parent and as finalist: the higher `accuracy` on the validation "
        "split, of equal ones the lower loss; or the lower `loss`, then the higher accuracy",
    )
    first: Literal["trained", "stratified", "uniform"] = Field(
        default="trained",
        description="generation 0: `trained` draws as the supernet's training drew, after `draws: near` beginning with "
        "the method itself, or what fits of it; `stratified` draws span the sizes from the smallest to the largest "
        "subnet under the limit; `uniform` draws every form alike. Random search draws as `trained` does, or else "
        "uniformly",
    )
    population: Positive = Field(default=50, description="candidates of generation 0, and places in NSGA-II")
    generations: int = Field(default=20, ge=0, description="generations after the first")
    parents: Positive = Field(default=10, description="the best candidates so far, from which children are made")
    crossover: int = Field(default=25, ge=0, description="children a generation with each gene from either parent")
    mutation: int = Field(default=25, ge=0, description="children a generation with some genes of a parent redrawn")
    mutation_rate: float = Field(default=0.05, gt=0, le=1, description="probability that a gene is redrawn")
    max_parameters: int | None = Field(default=None, ge=0, description="limit of a subnet's parameters, head apart")
    budget: int | None = Field(
        default=None,
        ge=0,
        description="new candidates at most, in a search that starts from all that is known of its supernet; `0`: the "
        "front of what is known; default: start afresh and run every generation",
    )
    finalists: Positive = Field(default=10, description="best candidates that are scored again in float32 at the end")
    views: int = Field(
        default=0,
        ge=0,
        description="altered copies of every validation image that count for a finalist's loss as the image itself "
        "does; altered as `training.augmentation` says, or by `shift` where that is empty; `0`: none",
    )
    choice: Choice = Field(
        default="surely_better",
        description="which finalist is exported: the `best`; the one with the fewest parameters of those whose loss is "
        "no more than one standard error of the difference above that of the best (`smallest_tied`); or the best if it "
        "is `surely_better` than the method that training kept near, however many candidates were tried, and else that "
        "method (where no candidate is that method, the best)",
    )
    racing: bool = Field(
        default=True,
        description="stop evaluating a candidate that can no longer survive, be a finalist or be on the front, which "
        "changes none of these",
    )
    lag: Positive | None = Field(
        default=None,
        description="proposals just before a candidate whose outcomes its race does not wait for; default: twice "
        "workers.count, so that each worker has one candidate and the next one ahead",
    )

    @field_validator("mutation_rate", mode="before")
    @classmethod
    def _whole_numbers_are_floats(cls, value: object) -> object:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


class ExportSettings(Settings):
    """What happens with the best subnet."""

    to: str | None = Field(default=None, description="folder of the export; default: runs/NAME/export")


class RefitSettings(Settings):
    """Whether the chosen subnet is trained on after the search. Off: the promise is a result without retraining."""

    epochs: int = Field(default=0, ge=0, description="passes over training and validation images together; `0`: none")
    learning_rate: float | None = Field(
        default=None, gt=0, description="peak learning rate; default: a tenth of training.learning_rate"
    )

    @field_validator("learning_rate", mode="before")
    @classmethod
    def _whole_numbers_are_floats(cls, value: object) -> object:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


class CampaignSettings(Settings):
    """One search, from config to export."""

    name: str = Field(pattern=NAME, description="unique name of the campaign: letters, digits, `.`, `_` and `-`")
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of inits, forms, batches, masks and generations")
    backbone: BackboneSettings = Field(description="the frozen pretrained model")
    data: DataSettings = Field(description="where the examples come from")
    space: SpaceSettings = Field(default_factory=SpaceSettings, description="the forms at every site")
    training: TrainingSettings = Field(default_factory=TrainingSettings, description="how the supernet is trained")
    search: SearchSettings = Field(default_factory=SearchSettings, description="how genomes are proposed")
    refit: RefitSettings = Field(default_factory=RefitSettings, description="whether the choice is trained on")
    workers: WorkerSettings = Field(default_factory=WorkerSettings, description="who scores candidates")
    export: ExportSettings = Field(default_factory=ExportSettings, description="where the best subnet goes")

    @property
    def refitting(self) -> TrainingSettings:
        """How the choice is trained on: as the supernet was, for fewer epochs, more gently, with a tenth of warm-up."""
        rate = self.refit.learning_rate or self.training.learning_rate / 10
        changed = {
            "epochs": self.refit.epochs,
            "learning_rate": rate,
            "final_learning_rate": min(rate, self.training.final_learning_rate),
            "warmup_epochs": self.refit.epochs / 10,
        }
        return self.training.model_copy(update=changed)


def candidates(settings: SearchSettings, begun: bool = False) -> int:
    """How many a search proposes beyond what it starts from, unless its space runs out; `begun`: from what is known."""
    first = 0 if begun else settings.population
    every = first + settings.generations * (settings.crossover + settings.mutation)
    return every if settings.budget is None else min(every, settings.budget)


def raced_for(settings: SearchSettings) -> int:
    """Places that a race leaves certain; of those that rank behind them some were dropped before they were scored."""
    return settings.finalists if settings.algorithm == "nsga2" else max(settings.parents, settings.finalists)


def lag_of(settings: CampaignSettings) -> int:
    """Proposals that a candidate's race does not wait for."""
    return settings.search.lag or 2 * settings.workers.count


def read_config(path: Path, overrides: Iterable[str] = (), name: str | None = None) -> CampaignSettings:
    """Settings of a YAML file, with `a.b=value` overrides. Raises BadInput and Missing with every mistake named."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Missing(f"There is no config at {path}. `examples/` holds configs that run.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"The config {path} cannot be read: {error}.") from None
    try:
        values = yaml.load(text, _Yaml)
    except NOT_YAML as error:
        raise BadInput(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise BadInput(f"{path} must hold a mapping of settings such as `name: digits`; it holds {_kind(values)}.")
    for override in overrides:
        _override(values, override)
    if name is not None:
        values["name"] = name
    return parse(values, str(path))


def parse(values: Mapping[str, Any], where: str, context: Mapping[str, Any] | None = None) -> CampaignSettings:
    """Settings of plain data. Raises BadInput with one line a mistake."""
    try:
        return CampaignSettings.model_validate(values, context=context)
    except ValidationError as error:
        sentences = dict.fromkeys(_sentence(dict(mistake), where) for mistake in error.errors())
        raise BadInput("\n".join(sentences)) from None


def recalled(config: Mapping[str, Any], name: str) -> CampaignSettings:
    """Settings that a campaign's row keeps; what they do not say is what was done before it could be said.

    Raises BadInput if another version of the program wrote them.
    """
    older = {section: {**earlier, **config.get(section, {})} for section, earlier in EARLIER.items()}
    older["search"].pop("round", None)  # what there was before `lag`: it changed no result
    return parse({**config, **older}, f"the config of {name}", STORED)


def difference(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """`a.b: old -> new` for each setting that differs, in the order of the old."""
    lines: list[str] = []
    for key in [*old, *(key for key in new if key not in old)]:
        before, after, path = old.get(key), new.get(key), f"{prefix}{key}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += difference(before, after, f"{path}.")
        elif before != after:
            lines.append(f"{path}: {before} -> {after}")
    return lines


def _override(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise BadInput(f"--set takes KEY=VALUE such as search.generations=5; got {override!r}.")
    try:
        value = yaml.load(text, _Yaml)
    except NOT_YAML:
        raise BadInput(f"--set {override!r}: the value is not valid YAML.") from None
    *groups, last = path.split(".")
    for group in groups:
        if values.get(group) is None:
            values[group] = {}
        inner = values[group]
        if not isinstance(inner, dict):
            raise BadInput(f"--set {override!r}: {group} holds no settings of its own.")
        values = inner
    values[last] = value


def _sentence(mistake: dict[str, Any], where: str) -> str:
    """A pydantic mistake as a sentence that names the setting, what came, and what would do."""
    place = [str(part) for part in mistake["loc"]]
    path = ".".join(place)
    if mistake["type"] == "extra_forbidden":
        known = list(_model_at(place[:-1]).model_fields)
        near = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
        return f"{where}: unknown setting {path!r}. {hint}"
    if mistake["type"] == "missing" and isinstance(mistake["loc"][-1], int):
        return f"{where}: {'.'.join(place[:-1])} has too few values."
    if mistake["type"] == "missing":
        return f"{where}: the setting {path!r} is missing."
    came = mistake.get("input")
    return f"{where}: {path} = {came!r} ({_kind(came)}): {mistake['msg'].removeprefix('Value error, ')}."


def _model_at(place: list[str]) -> type[Settings]:
    """The settings class that holds the keys at this place."""
    model: type[Settings] = CampaignSettings
    for part in place:
        field = model.model_fields.get(part)
        kinds = _members(field.annotation) if field else ()
        model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Settings)), model)
    return model


def _members(annotation: Any) -> tuple[Any, ...]:
    """What a setting may be, and what a list of them may hold."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType, tuple):
        return (annotation,)
    return tuple(member for each in typing.get_args(annotation) for member in _members(each))


def _kind(value: object) -> str:
    names = {dict: "a mapping", list: "a list", tuple: "a list", str: "a text", type(None): "nothing"}
    names |= {bool: "true or false", int: "a whole number", float: "a number"}
    return names.get(type(value), f"a {type(value).__name__}")

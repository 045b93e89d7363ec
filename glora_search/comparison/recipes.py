"""What the rows of a comparison change of a config: the seed, the limit, the search, the training.

Every setting of a training and of a search is named here, so that a new one that is forgotten fails a test: what the
reference does with it, or that the comparison leaves it as it is for all.
Source: GLoRA (arXiv 2306.07967); Arnav0400/ViT-Slim at 0fed674.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glora_search.settings import CampaignSettings, parse
from supernet.errors import BadInput
from supernet.settings import SpaceSettings, TrainingSettings

SAME_TRAINING = ("epochs", "batch_size", "warmup_epochs")  # one schedule for all
REFERENCE_TRAINING: Mapping[str, Any] = {
    "recipe": "paper",
    "learning_rate": 1e-4,
    "final_learning_rate": 1e-5,
    "vector_rate": 1.0,
    "weight_decay": 1e-4,
    "drop_path": 0.1,
    "label_smoothing": 0.0,
    "augmentation": (),
    "head": "random",
    "draws": "uniform",
    "around": "auto",
    "method_first": 0.0,
    "method_last": 0.0,
    "subnets": 1,
    "average": 0.0,
    "memory": 0.0,
    "calibration": False,
}
SAME_SPACE = ("name", "rows", "ranks", "forms", "options")
REFERENCE_SPACE: Mapping[str, Any] = {"product": "elementwise", "storage": "shared", "scales": "raw"}
SAME_SEARCH = (  # as many candidates, under one limit; racing changes no survivor
    *("population", "generations", "parents", "crossover", "mutation", "max_parameters", "budget", "finalists"),
    *("racing", "lag"),
)
REFERENCE_SEARCH: Mapping[str, Any] = {
    "algorithm": "evolution",
    "mutation_rate": 0.2,
    "rank": "accuracy",
    "first": "uniform",
    "views": 0,
    "choice": "best",
}

# options of a training that mean nothing to one subnet, and their `off`; the others serve a fixed method as well
SUPERNET_ONLY: Mapping[str, Any] = {
    "draws": "uniform",
    "around": "auto",
    "method_first": 0.0,
    "method_last": 0.0,
    "subnets": 1,
    "calibration": False,
}


def of_seed(settings: CampaignSettings, seed: int) -> CampaignSettings:
    """The config under another seed of everything, the splits too where the source draws them."""
    return settings.model_copy(update={"seed": seed, "data": settings.data.model_copy(update={"seed": seed})})


def campaign_of(
    settings: CampaignSettings, method: str, seed: int, limit: int | None, kind: str = "compare"
) -> CampaignSettings:
    """The settings of a row's campaign: under the lower of the two limits, in a folder of its own."""
    changed = of_seed(settings, seed).model_copy(
        update={
            "name": f"{settings.name}.{kind}.{method}.{seed}",
            "search": settings.search.model_copy(
                update={"max_parameters": least(settings.search.max_parameters, limit)}
            ),
            "export": settings.export.model_copy(update={"to": None}),
        }
    )
    return parse(changed.model_dump(mode="json"), f"the comparison's campaign {changed.name}")


def least(*limits: int | None) -> int | None:
    """The lowest of the limits there are."""
    return min((each for each in limits if each is not None), default=None)


def unchanged(settings: CampaignSettings) -> CampaignSettings:
    """The config as it stands."""
    return settings


def at_random(settings: CampaignSettings) -> CampaignSettings:
    """The same supernet, and as many candidates drawn at random."""
    return settings.model_copy(update={"search": settings.search.model_copy(update={"algorithm": "random"})})


def reference(settings: CampaignSettings) -> CampaignSettings:
    """The reference's recipe, with the config's epochs, number of candidates and limit."""
    return settings.model_copy(
        update={
            "training": settings.training.model_copy(update=dict(REFERENCE_TRAINING)),
            "space": settings.space.model_copy(update=dict(REFERENCE_SPACE)),
            "search": settings.search.model_copy(update=dict(REFERENCE_SEARCH)),
        }
    )


def alone(training: TrainingSettings, epochs: int) -> TrainingSettings:
    """The same training for one subnet: nothing of what only a supernet needs."""
    return training.model_copy(update={**SUPERNET_ONLY, "epochs": epochs})


def searching_table(name: str, settings: CampaignSettings) -> CampaignSettings:
    """The config as it stands if its space is this table, else with that table."""
    if settings.space.name == name:
        return settings
    training = settings.training.model_copy(update={"around": "auto"})  # another one may be a genome of GLoRA alone
    return settings.model_copy(update={"space": settings.space.in_table(name), "training": training})


def at_rate(training: TrainingSettings, factor: float) -> TrainingSettings:
    """The same training with its learning rates multiplied."""
    rates = {name: factor * getattr(training, name) for name in ("learning_rate", "final_learning_rate")}
    return training.model_copy(update=rates)


def whole(space: SpaceSettings) -> SpaceSettings:
    """Every form at every site: a fixed method may need one that the search leaves out."""
    return space.model_copy(update={"forms": {}})


def require_comparable(settings: CampaignSettings) -> None:
    """Raises BadInput for a search that begins from what others found: the comparison's begin afresh."""
    if settings.search.budget is not None:
        raise BadInput(
            f"search.budget is {settings.search.budget}: such a search begins from all that is known of its supernet, "
            "and random search would begin from what ours found. Leave search.budget out, and set "
            "search.population and search.generations."
        )

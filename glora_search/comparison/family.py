"""What the rows of one seed share: data, backbone, workers and the places of files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from glora_search.comparison.methods import LIMIT, named
from glora_search.comparison.recipes import least, of_seed, whole
from glora_search.comparison.suites import DEFAULT, Suite
from glora_search.display import Display
from glora_search.inputs import Inputs, prepare
from glora_search.places import Places
from glora_search.settings import CampaignSettings
from supernet.data import Split
from supernet.settings import SpaceSettings
from supernet.training import adapt
from workers.trainer import Pool


@dataclass(frozen=True)
class Family:
    """Of one seed. Its data can open the test set, which each row does once, at its end."""

    inputs: Inputs  # of the config under this seed
    pool: Pool
    db: str
    places: Places
    display: Display
    suite: Suite = DEFAULT

    @property
    def settings(self) -> CampaignSettings:
        return self.inputs.settings

    @property
    def limit(self) -> int | None:
        """Parameters of the fixed method that no searched subnet may exceed, if the suite has such a rule."""
        if not self.suite.limited:
            return None
        space = in_space(self.inputs, whole(self.settings.space)).space
        return space.parameters(named(LIMIT, space, self.settings.seed))

    @property
    def allowed(self) -> int | None:
        """Parameters that ours may have, under the suite's rule and the config's limit."""
        return least(self.settings.search.max_parameters, self.limit)

    @property
    def folder(self) -> Path:
        """Of the comparison's files."""
        return self.places.comparison(self.settings.name, self.suite.kind)

    def splits(self, test: str) -> Mapping[str, str]:
        """The hash of each split; that of the test split is known to whom opened it."""
        return {"train": self.inputs.data.train.key(), "val": self.inputs.data.val.key(), "test": test}

    def examples(self, test: int) -> Mapping[str, int]:
        return {"train": len(self.inputs.data.train), "val": len(self.inputs.data.val), "test": test}

    def images(self, test: Split) -> str:
        """As `Outcome.test_images`."""
        return test.identities().tobytes().hex()

    def open_test(self) -> Split:
        """The first test set. Raises Missing if it is gone."""
        return next(iter(self.inputs.data.tests.values()))()


def family(
    settings: CampaignSettings,
    seed: int,
    pool: Pool,
    db: str,
    places: Places,
    display: Display,
    suite: Suite = DEFAULT,
) -> Family:
    """Read what the rows of this seed work on. Raises BadInput, Missing or Infeasible; writes nothing."""
    return Family(prepare(of_seed(settings, seed)), pool, db, places, display, suite)


def in_space(inputs: Inputs, space: SpaceSettings) -> Inputs:
    """The same data and backbone with another space."""
    settings = inputs.settings.model_copy(update={"space": space})
    return replace(inputs, settings=settings, space=adapt(inputs.backbone, space, settings.seed).space)

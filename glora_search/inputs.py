"""What a campaign works on: data, backbone and space, read and checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

from glora_search.settings import CampaignSettings
from supernet.backbone import Backbone, load_backbone
from supernet.data import Data, Split, load_data
from supernet.data.split import joined
from supernet.errors import BadInput
from supernet.numerics import Numerics
from supernet.probe import ProbeTask
from supernet.schedule import total_steps
from supernet.settings import TrainingSettings
from supernet.space import Space
from supernet.threads import single_threaded
from supernet.trained import Trained
from supernet.training import TrainingTask, adapt
from workers.threads import training_threads


@dataclass(frozen=True)
class Inputs:
    """Everything that the config names, as values."""

    settings: CampaignSettings
    data: Data
    backbone: Backbone
    space: Space

    def training(self, numerics: Numerics) -> TrainingTask:
        """The supernet's training; `numerics` are a scoring worker's, training has the threads of all of them."""
        settings = self.settings
        alone = replace(numerics, threads_per_worker=training_threads(settings.workers))
        return TrainingTask(self.backbone, settings.space, settings.training, self.data.train, settings.seed, alone)

    @cached_property
    def train_and_val(self) -> Split:
        """Both together, for a refit."""
        return joined(self.data.train, self.data.val)

    def refit(self, trained: Trained, genome: str, numerics: Numerics) -> TrainingTask:
        """The training of the chosen subnet alone, from the supernet's weights."""
        task, settings = self.training(numerics), self.settings.refitting
        return replace(task, training=settings, split=self.train_and_val, genome=genome, initial=trained)

    def probe(self, numerics: Numerics) -> ProbeTask:
        """The linear probe's training."""
        task = self.training(numerics)
        return ProbeTask(self.backbone, task.training, self.data.train, self.data.val, task.seed, task.numerics)


@single_threaded()  # a pool may fork a worker from this process
def prepare(settings: CampaignSettings) -> Inputs:
    """Read data and backbone and lay out the space. Raises BadInput, Missing or Infeasible; writes nothing."""
    require_sensible(settings)
    data = load_data(settings.data, settings.backbone.image_size)
    if len(data.classes) < 2:
        raise BadInput(f"The data has one class ({data.classes[0]}): there is nothing to tell apart.")
    backbone = load_backbone(settings.backbone, len(data.classes), settings.data.mean, settings.data.std)
    space = adapt(backbone, settings.space, settings.seed).space
    space.require_feasible(settings.search.max_parameters)
    return Inputs(settings, data, backbone, space)


def require_trainable(training: TrainingSettings, examples: int) -> None:
    """Raises BadInput where a step has fewer images than subnets."""
    batch = min(training.batch_size, examples)
    if training.subnets > batch:
        raise BadInput(f"training.subnets is {training.subnets}, but a step has {batch} images to share among them.")


def untrained(training: TrainingSettings, examples: int) -> str:
    """What to say of a training so short that no step is left to other subnets than its method, else nothing."""
    steps = total_steps(training, examples)
    first, last = ceil(training.method_first * steps), ceil((1 - training.method_last) * steps)
    if training.draws != "near" or first < last:
        return ""
    return (
        f"Of {steps} steps none trains other subnets than the method: the search will compare forms that were never "
        "trained. Raise training.epochs, or lower training.method_first or training.method_last."
    )


def require_sensible(settings: CampaignSettings) -> None:
    """Raises BadInput for settings that are each valid but mean nothing together."""
    search = settings.search
    if search.generations and search.crossover + search.mutation == 0:
        raise BadInput("search.crossover and search.mutation are both 0: a generation would have no children.")
    if settings.workers.backend == "local" and settings.workers.count > 1:
        raise BadInput(
            f"workers.backend: local has one worker; workers.count is {settings.workers.count}. "
            "Set workers.backend: ray for more."
        )

"""A fixed method's row, and the linear probe's: trained on train alone, scored on val, and once at the end on test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from glora_search import report
from glora_search.comparison.deploying import deployed
from glora_search.comparison.family import Family, in_space
from glora_search.comparison.methods import Fixed
from glora_search.comparison.outcome import Outcome, Scores
from glora_search.comparison.recipes import alone, at_rate
from glora_search.control import Control
from glora_search.inputs import Inputs
from glora_search.interrupts import interrupts
from glora_search.shared_weights import recipe_of, trained_on, watched
from supernet.checkpoint import load_trained, save_trained
from supernet.data import Split
from supernet.errors import Corrupt
from supernet.evaluation import ScoringTask
from supernet.numerics import Numerics
from supernet.trained import Trained


def fixed(family: Family, method: str, row: Fixed, numerics: Numerics, longer: int | None) -> Outcome:
    """Train the genome with the config's epochs and, if these are more, with `longer`; then open the test set.

    Raises Paused when interrupted: what was trained, and checkpoints, are kept until the outcome is.
    """
    inputs = at_own_rate(in_space(family.inputs, row.space(family.settings.space)), row)
    seed, epochs = family.settings.seed, family.settings.training.epochs
    genome = row.genome(inputs.space, seed, family.allowed)
    several = [epochs, longer] if longer is not None and longer > epochs else [epochs]
    trained = [_trained(family, inputs, method, genome, numerics, each) for each in several]
    scoring = ScoringTask(inputs.backbone, inputs.settings.space, trained[0], inputs.data.val, numerics.in_float32())
    deployment = deployed(family, inputs, trained[0], genome, numerics)
    scores, test = _scored(family, [replace(scoring, trained=each) for each in trained], genome, several)
    return Outcome(
        method,
        seed,
        genome,
        inputs.space.parameters(genome),
        family.examples(len(test)),
        family.splits(test.key()),
        numerics.as_dict(),
        scores[0],
        longer=scores[1] if len(scores) > 1 else None,
        deployment=deployment,
        test_images=family.images(test),
    )


def probed(family: Family, method: str, numerics: Numerics) -> Outcome:
    """A head of its own on the backbone as it is."""
    inputs = family.inputs
    title = f"{method}, seed {family.settings.seed}"
    trained = watched(family.pool, inputs.probe(numerics), family.display, title)
    bare = in_space(inputs, inputs.settings.space.in_table("linear_probe"))  # whose one subnet is the backbone
    space = bare.settings.space
    scoring = ScoringTask(inputs.backbone, space, trained, inputs.data.val, numerics.in_float32(), head_only=True)
    deployment = deployed(family, bare, trained, bare.space.smallest, numerics, head_only=True)
    epochs = [family.settings.training.epochs]
    scores, test = _scored(family, [scoring], bare.space.smallest, epochs)
    examples, splits = family.examples(len(test)), family.splits(test.key())
    found = Outcome(method, family.settings.seed, None, 0, examples, splits, numerics.as_dict(), scores[0])
    return replace(found, deployment=deployment, test_images=family.images(test))


def at_own_rate(inputs: Inputs, row: Fixed) -> Inputs:
    """The same under the learning rate that the method's field uses."""
    training = at_rate(inputs.settings.training, row.rate)
    return replace(inputs, settings=inputs.settings.model_copy(update={"training": training}))


def forget(family: Family, method: str) -> None:
    """Remove the trained tensors of a row whose outcome is kept."""
    for path in family.folder.glob(f"{method}.{family.settings.seed}.*.safetensors"):
        path.unlink()


def _trained(family: Family, inputs: Inputs, method: str, genome: str, numerics: Numerics, epochs: int) -> Trained:
    """The subnet after so many epochs, from its file if it was trained before."""
    settings = inputs.settings.model_copy(update={"training": alone(inputs.settings.training, epochs)})
    inputs = replace(inputs, settings=settings)
    name = hashlib.sha256(f"{recipe_of(inputs)} {genome}".encode()).hexdigest()
    path = family.folder / f"{method}.{settings.seed}.{epochs}.safetensors"
    if (known := _known(path, name)) is not None:
        return known
    task = replace(inputs.training(numerics), genome=genome)
    title, checkpoint = f"{method}, seed {settings.seed}, {epochs} epochs", path.with_suffix(".checkpoint.safetensors")
    control = Control(None, family.folder.name)
    with interrupts(control, family.display):
        trained = trained_on(task, checkpoint, name, title, family.pool, family.display, control)
        save_trained(trained, path, {"recipe": name})
    return trained


def _known(path: Path, name: str) -> Trained | None:
    try:
        trained, about = load_trained(path) if path.is_file() else (None, {})
    except Corrupt:  # it is trained again
        return None
    return trained if about.get("recipe") == name else None


def _scored(
    family: Family, tasks: Sequence[ScoringTask], genome: str, epochs: Sequence[int]
) -> tuple[list[Scores], Split]:
    """The scores of each task's subnet on its own split, and on the test split, which is opened here; that split."""
    vals = [report.score_all(family.pool, task, [genome])[0] for task in tasks]
    test = family.open_test()
    tests = [report.score_all(family.pool, replace(task, split=test), [genome])[0] for task in tasks]
    scores = [
        Scores(number, val.accuracy, tested.accuracy, tested.correct.hex(), task.trained.seconds)
        for number, task, val, tested in zip(epochs, tasks, vals, tests, strict=True)
    ]
    return scores, test

"""The last station: finalists again in float32, one choice, baselines, the test sets opened once, the export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from db.store import Store
from glora_search import report
from glora_search.choice import choose, compared
from glora_search.control import Control
from glora_search.crash_points import reached
from glora_search.display import Display
from glora_search.drawing import kept_near
from glora_search.finalists import measured
from glora_search.inputs import Inputs
from glora_search.places import Places
from glora_search.refit import refit, said
from glora_search.refit import summary as refit_summary
from glora_search.report import Row
from supernet.data import Split
from supernet.data.seen import seen
from supernet.evaluation import ScoringTask
from supernet.export import Subnet, export
from supernet.numerics import Numerics
from supernet.trained import Trained
from supernet.verification import read_manifest
from workers.trainer import Pool


def conclude(
    inputs: Inputs,
    trained: Trained,
    probe: Trained,
    numerics: Numerics,
    pool: Pool,
    store: Store,
    places: Places,
    display: Display,
    seconds: Mapping[str, float],
    control: Control,
) -> dict[str, Any]:
    """The report. Raises Missing if a test set is gone: the search is kept, and the report can be resumed.

    Raises Paused or Cancelled if that was asked before the test sets are opened.
    """
    settings = inputs.settings
    task = ScoringTask(inputs.backbone, settings.space, trained, inputs.data.val, numerics.in_float32())
    method = kept_near(inputs.space, settings)
    itself = method.genome if method else None
    control.require_open(at_once=True)
    finalists = measured(task, pool, store, settings, itself)
    tried = len(store.candidates(settings.name, where="status in ('completed', 'raced')"))
    best = choose(finalists, settings.search.rank, settings.search.choice, itself, tried)
    chosen = best.candidate
    reached("finalists-scored")
    control.require_open()
    final = trained
    if epochs := settings.refit.epochs:
        display.note(f"Candidate {chosen.id} is trained on for {epochs} epochs, on training and validation images.")
        final = refit(inputs, trained, chosen.genome, numerics, pool, places, display, control)
        control.require_open()
    subnets = {"searched": [chosen.genome]}
    subnets |= report.baseline_genomes(inputs.space, settings.seed, settings.search.max_parameters, method)
    genomes = list(dict.fromkeys(genome for each in subnets.values() for genome in each))
    val = report.score_most(pool, task, genomes, subnets["searched"])
    if lost := len(genomes) - len(val):
        display.note(f"{lost} of the subnets that the searched one is compared with could not be scored.")
    control.require_open(at_once=True)
    display.note(f"Chosen: candidate {chosen.id} with {chosen.params:,} parameters. Opening the test split.")
    tests = {name: opener() for name, opener in inputs.data.tests.items()}
    reached("test-opened")
    scores = {
        name: report.score_most(pool, replace(task, split=split), list(val), subnets["searched"])
        for name, split in tests.items()
    }
    main = next(iter(tests))
    table = report.rows(subnets, val, scores[main])
    linear_probe = _probe_row(replace(task, trained=probe, head_only=True), tests[main], pool)
    table = {"searched": table["searched"], "linear_probe": linear_probe} | table
    to = places.export(settings.name, settings.export.to)
    found = report.summary(
        chosen,
        table,
        {name: (scores[name][chosen.genome].accuracy, split) for name, split in tests.items()},
        str(to),
        seconds,
    )
    found |= compared(finalists, best, settings.search.rank)
    found["method"] = asdict(method) if method else None
    if epochs:
        again = replace(task, trained=final, split=tests[main])
        (score,) = report.score_all(pool, again, [chosen.genome])
        found["refit"] = refit_summary(epochs, final.seconds, found, score.accuracy)
    export(subnet_of(inputs, final, chosen.genome, figures(found)), to)
    found["outcomes"] = read_manifest(to)["outcomes"]
    reached("exported")
    return found | {"test_correct": scores[main][chosen.genome].correct.hex(), "test_split": tests[main].key()}


def subnet_of(inputs: Inputs, trained: Trained, genome: str, figures: dict[str, Any]) -> Subnet:
    """What an export needs."""
    settings = inputs.settings
    known = seen(settings.data, inputs.data)
    return Subnet(inputs.backbone, settings.space, trained, genome, inputs.data.classes, settings.name, figures, known)


def figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """The report's figures as the model card shows them."""
    searched = {
        "adapted parameters": f"{found['params']:,}",
        "validation accuracy": f"{found['val_accuracy']:.2%}",
        "test accuracy": _tested(found, found["test_examples"]),
    }
    baselines = {
        f"{name.replace('_', ' ')} (baseline), test accuracy": f"{row['test_accuracy']:.2%}"
        for name, row in found["baselines"].items()
    }
    if (again := found.get("refit")) is None:
        return searched | baselines
    before = {f"{name}, before the refit": value for name, value in searched.items() if "accuracy" in name}
    return {
        "adapted parameters": searched["adapted parameters"],
        "refit": f"the searched subnet, {said(again)}: not without retraining",
        "test accuracy": _tested(again, found["test_examples"]),
        **before,
        **baselines,
    }


def _tested(figures: Mapping[str, Any], examples: int) -> str:
    low, high = figures["test_interval"]
    return f"{figures['test_accuracy']:.2%} of {examples} examples, opened once (95% interval {low:.2%} to {high:.2%})"


def _probe_row(task: ScoringTask, test: Split, pool: Pool) -> Row:
    """The linear probe: the backbone as it is, with a head of its own, in the space of that one subnet.

    The smallest subnet of another space may have numbers, which nobody has trained for this head.
    """
    task = replace(task, space=task.space.in_table("linear_probe"))
    (val,), (tested,) = (report.score_all(pool, each, [""]) for each in (task, replace(task, split=test)))
    return Row(0, val.accuracy, val.loss, tested.accuracy)

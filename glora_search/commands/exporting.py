"""export, verify, evaluate, predict."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from db.store import open_store
from glora_search.conclusion import figures, subnet_of
from glora_search.output import write_rows, write_value
from glora_search.places import Places
from glora_search.refit import refitted
from glora_search.reopening import reopened, scored_candidate
from glora_search.settings import read_config
from glora_search.statistics import wilson
from supernet.account import all_merged, said
from supernet.data import Split, load_data
from supernet.data.images import decode
from supernet.data.seen import as_seen, require_unseen
from supernet.errors import BadInput
from supernet.export import export
from supernet.exported import Exported, accuracy, classify, load_export
from supernet.verification import read_manifest, verify


def export_candidate(name: str, candidate_id: int | None, best: bool, to: Path, db: str, runs: Path) -> None:
    """Export one candidate of a campaign whose supernet is trained, merged as far as it goes."""
    if best and candidate_id is not None:
        raise BadInput("Pass --id or --best, not both.")
    places = Places(runs)
    with open_store(db, create=False) as store:
        campaign = store.campaign(name)
        candidate = scored_candidate(store, campaign, candidate_id)
    inputs, trained = reopened(campaign, places)
    report = campaign.report or {}
    if report.get("genome") == candidate.genome:
        known = figures(report)
        trained = refitted(inputs, trained, candidate.genome, places) if "refit" in report else trained
    else:
        accuracy = "-" if candidate.accuracy is None else f"{candidate.accuracy:.2%}"
        known = {"adapted parameters": f"{candidate.params:,}", "validation accuracy (in the search)": accuracy}
    export(subnet_of(inputs, trained, candidate.genome, known), to)
    became = read_manifest(to)["outcomes"]
    how = "" if all_merged(became) else f" as a program for torch.export.load, {said(became)}"
    print(f"Exported candidate {candidate.id} of {name} to {to}{how}. Next: glora-search verify {shlex.quote(str(to))}")


def verify_export(folder: Path, chosen: str) -> None:
    """Print what a fresh process found; errors end the command."""
    found = verify(folder)
    if chosen == "json":
        write_value({"verified": True} | found.__dict__)
        return
    loaded, subnet = f"timm loads all {found.tensors} tensors as they were written", "the unmerged subnet"
    if found.loads_with != "timm":
        loaded, subnet = f"torch.export loads its program of {found.tensors} tensors", "the subnet"
    print(
        f"{folder} verified: {loaded}, and its logits differ from {subnet}'s by at most "
        f"{found.largest_difference:.1e} (largest logit {found.largest_logit:.2f})."
    )
    if found.loads_with != "timm":
        print(f"It is no plain timm model: {said(found.outcomes) or 'not all of its genes merged'}.")


def evaluate_export(folder: Path, data: str, split: str, chosen: str) -> None:
    """Top-1 accuracy of an export on one split of a data set."""
    exported = load_export(folder)
    part = _split(data, split, exported)
    found = accuracy(exported, part)
    low, high = wilson(found, len(part))
    if chosen == "json":
        write_value({"split": split, "examples": len(part), "accuracy": found, "interval": [low, high]})
        return
    print(f"{split}: {found:.2%} of {len(part):,} examples (95% interval {low:.2%} to {high:.2%})")


def predict_images(folder: Path, images: Sequence[Path], chosen: str) -> None:
    """The most likely class of each image."""
    exported = load_export(folder)
    found = classify(exported, [decode(path, exported.image_size) for path in images])
    rows = [
        {"image": str(path), "label": label, "probability": probability}
        for path, (label, probability) in zip(images, found, strict=True)
    ]
    write_rows(rows, ("image", "label", "probability"), chosen)


def _split(data: str, name: str, exported: Exported) -> Split:
    """`digits`, `SOURCE:ROOT`, or the path of a config whose data section is read.

    Raises BadInput on other classes, and on a test split that may hold images which the export was trained on.
    """
    known = exported.manifest.get("data")  # not in exports of earlier versions
    if config := data.endswith((".yaml", ".yml")):
        settings = read_config(Path(data)).data
    else:
        source, _, root = data.partition(":")
        if source not in ("digits", "vtab", "folder"):
            raise BadInput(f"--data {data!r}: pass digits, vtab:PATH, folder:PATH, or a config such as my.yaml.")
        settings = as_seen(source, root or None, known)
    loaded = load_data(settings, exported.image_size)
    if loaded.classes != exported.classes[: len(loaded.classes)]:
        raise BadInput(
            f"The data has the classes {_few(loaded.classes)}, the export knows {_few(exported.classes)}: "
            "it was trained for another task."
        )
    if name == "test":
        require_unseen(loaded, known, chosen=config)
    return {"train": lambda: loaded.train, "val": lambda: loaded.val, "test": next(iter(loaded.tests.values()))}[name]()


def _few(classes: Sequence[str]) -> str:
    """`cat, dog, ... (37)`."""
    return ", ".join(classes[:3]) + (f", ... ({len(classes)})" if len(classes) > 3 else "")

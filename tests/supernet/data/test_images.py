from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from supernet.data.images import decode, decode_all
from supernet.errors import BadInput, Missing


def save(path: Path, mode: str = "RGB", size: tuple[int, int] = (20, 10), value: int = 200) -> Path:
    Image.fromarray(np.full((size[1], size[0]), value, np.uint8)).convert(mode).save(path)
    return path


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1", "CMYK"])
def test_every_mode_becomes_a_square_of_rgb(tmp_path: Path, mode: str) -> None:
    path = save(tmp_path / ("x.jpg" if mode == "CMYK" else "x.png"), mode)
    image = decode(path, 8)
    assert image.shape == (8, 8, 3)
    assert image.dtype == np.uint8


def test_sixteen_bits_keep_their_brightness(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 128 << 8, np.uint16)).save(tmp_path / "x.png")
    assert np.all(decode(tmp_path / "x.png", 4) == 128)


def test_a_palette_with_transparency_decodes_without_a_warning(tmp_path: Path) -> None:
    save(tmp_path / "x.png", "P").rename(tmp_path / "y.png")
    with Image.open(tmp_path / "y.png") as image:
        image.save(tmp_path / "z.png", transparency=bytes(range(256)))
    assert decode(tmp_path / "z.png", 4).shape == (4, 4, 3)


def test_all_are_decoded_in_order(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{value}.png", value=value) for value in range(40)]
    assert decode_all(paths, 4)[:, 0, 0, 0].tolist() == list(range(40))
    assert decode_all([], 4).shape == (0, 4, 4, 3)


def test_an_image_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"gone\.png"):
        decode_all([save(tmp_path / "x.png"), tmp_path / "gone.png"], 4)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif"])
def test_a_truncated_image_is_named(tmp_path: Path, suffix: str) -> None:
    generator = np.random.default_rng(0)
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(generator.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:1200])
    with pytest.raises(BadInput, match=f"x.{suffix} does not decode"):
        decode(path, 4)


def test_text_and_folders_and_empty_files_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("not an image")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    for name in ("x.png", "empty.png", "folder.png"):
        with pytest.raises(BadInput, match=name):
            decode(tmp_path / name, 4)


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize("limit", [150, 60])
def test_a_bomb_is_refused_with_its_megapixels(tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)  # the image has 200 pixels: a warning of PIL's, or an error
    with pytest.raises(BadInput, match=r"x\.png: expected an image of at most .* megapixels, found 0\.0002 megapixels"):
        decode(save(tmp_path / "x.png"), 4)

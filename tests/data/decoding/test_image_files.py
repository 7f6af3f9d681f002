import io

import numpy as np
import pytest
from PIL import Image

from eomtlib.core.errors import DataError
from eomtlib.data.decoding.image_files import image_pixels

SIZE = (37, 53)


def saved(mode, kind, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).resize(SIZE[::-1]).convert(mode)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def decode(data):
    return image_pixels(data, size=SIZE, where="picture", json_name="list.json")


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        ("RGB", "JPEG", {}),
        ("RGB", "JPEG", {"subsampling": 0, "quality": 95}),
        ("RGB", "JPEG", {"progressive": True}),
        ("RGB", "JPEG", {"keep_rgb": True}),
        ("L", "JPEG", {}),
        ("CMYK", "JPEG", {}),
        ("RGB", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("P", "PNG", {}),
    ],
)
def test_pixels_are_those_of_pillow(mode, kind, options):
    data = saved(mode, kind, **options)
    image = decode(data)
    assert np.array_equal(image, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert image.flags.writeable


def test_orientation_in_the_metadata_is_left_alone():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert np.array_equal(decode(saved("RGB", "JPEG", exif=exif)), decode(saved("RGB", "JPEG")))


def test_another_size_is_refused_before_decoding():
    file = io.BytesIO()
    Image.new("L", (9000, 9000)).save(file, "JPEG")
    # Cut after the header: whoever decoded it would call it damaged.
    with pytest.raises(DataError, match=r"is 9000 × 9000 .*says 37 × 53"):
        decode(file.getvalue()[:2000])

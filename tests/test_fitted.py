"""Pictures and drawings become images as MNIST's were made."""

import numpy as np
import pytest
from PIL import Image

from spikeloom.flow import ir
from spikeloom.flow.errors import ConfigError, ToolError
from spikeloom.hdl.neurons import Lif
from spikeloom.sim import pictures
from spikeloom.sim.fitted import box, fit, image_shape, ink_of, resampling
from spikeloom.sim.pictures import read_pictures


def network(*shape, encoder="rate"):
    return ir.chain(shape=shape, encoder=encoder, readout="membrane", num_steps=2, layers=[
        {"out_features": 2, "weight_bits": 4, "bitstream_length": 8, "sng": "sobol1",
         "neuron": Lif(v_threshold=1)}])


def seven(height=60, width=90, top=5, left=30, size=(40, 24), pen=6):
    """Ink 0/1 [height, width] of a 7 somewhere in a picture."""
    ink = np.zeros((height, width))
    ink[top:top + pen, left:left + size[1]] = 1
    for k in range(size[0]):
        x = left + size[1] - pen - round(k * (size[1] - pen) / (2 * size[0]))
        ink[top + k, x:x + pen] = 1
    return ink


def mass_centre(image):
    rows, cols = np.indices(image.shape)
    return (image * rows).sum() / image.sum(), (image * cols).sum() / image.sum()


def extent(image):
    rows, cols = np.nonzero(image)
    return np.ptp(rows) + 1, np.ptp(cols) + 1


def test_a_digit_is_scaled_to_20_pixels_and_centred_by_its_mass():
    image = fit(seven(), (28, 28))
    assert image.shape == (28, 28) and image.dtype == np.uint8 and image.max() == 255
    assert extent(image) == (20, 12)
    assert all(abs(at - 14) <= 0.5 for at in mass_centre(image.astype(float)))


def test_an_image_that_is_already_so_is_not_changed():
    made = fit(seven(), (28, 28))
    assert np.abs(fit(made / 255, (28, 28)).astype(int) - made).max() <= 1


@pytest.mark.parametrize("ink,size", [
    (np.ones((1, 1)), (20, 20)), (np.ones((500, 3)), (20, 1)), (np.ones((3, 500)), (1, 20)),
    (np.eye(400), (20, 20))])
def test_ink_of_any_shape_stays_within_the_box(ink, size):
    assert extent(fit(ink, (28, 28))) == size


def test_mass_at_one_end_does_not_push_ink_out():
    ink = np.zeros((100, 100))
    ink[:10, :100], ink[:, 0] = 1, 0.2
    assert extent(fit(ink, (28, 28))) == (20, 20)


def test_small_images_are_filled_and_large_ones_have_their_margin():
    assert [box(shape) for shape in ((28, 28), (8, 8), (32, 56))] == [(20, 20), (8, 8), (23, 40)]
    assert extent(fit(seven(), (8, 8))) == (8, 5)


def test_resampling_averages_and_keeps_what_is_even():
    assert resampling(2, 1).tolist() == [[0.5, 0.5]]
    for size, wanted in ((7, 7), (20, 7), (3, 20)):
        assert resampling(size, wanted).sum(1) == pytest.approx(np.ones(wanted))
    assert np.array_equal(resampling(5, 5), np.eye(5))


@pytest.mark.parametrize("ground,pen", [(255, 0), (200, 90), (0, 255), (60, 140)])
def test_light_and_dark_ground_look_the_same(ground, pen):
    grey = ground + (pen - ground) * seven()
    assert ink_of(grey) == pytest.approx(seven())
    wrong = "no" if pen < ground else "yes"
    with pytest.raises(ConfigError, match="is it blank, or is --invert wrong"):
        ink_of(grey, wrong)


def test_what_paper_has_of_grey_is_no_ink():
    noise = np.random.default_rng(0).normal(0, 5, (60, 90))
    assert extent(ink_of(np.clip(230 - 200 * seven() + noise, 0, 255))) == extent(seven())


@pytest.mark.parametrize("shape,wanted", [
    ((784,), (1, 28, 28)), ((8, 8), (1, 8, 8)), ((3, 4, 5), (3, 4, 5))])
def test_shapes_of_images(shape, wanted):
    assert image_shape(network(*shape)) == wanted


@pytest.mark.parametrize("net,text", [
    (network(7), "of one plane or of three, not of the shape .7.; give arrays"),
    (network(2, 4, 4), "not of the shape .2, 4, 4."),
    (network(16, encoder="spikes"), "takes pixels, not events"),
])
def test_networks_that_take_no_pictures(net, text):
    with pytest.raises(ConfigError, match=text):
        image_shape(net)


def saved(path, pixels, mode=None, **options):
    image = Image.fromarray(np.asarray(pixels))
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def test_every_depth_and_format_is_the_same_picture(tmp_path):
    dark = (255 - 255 * seven()).astype(np.uint8)
    wanted = fit(seven(), (28, 28))
    clear = np.dstack([np.zeros_like(dark)] * 3 + [255 - dark])  # black, where there is ink
    swapped = np.rot90(dark)  # by a quarter turn, and says so
    exif = Image.Exif()
    exif[0x0112] = 6
    paths = [
        saved(tmp_path / "a.png", dark), saved(tmp_path / "b.png", dark, "1"),
        saved(tmp_path / "c.png", dark, "P"), saved(tmp_path / "d.png", dark, "RGB"),
        saved(tmp_path / "e.png", clear), saved(tmp_path / "f.png", dark.astype(np.uint16) * 257),
        saved(tmp_path / "g.png", 255 - dark), saved(tmp_path / "h.BMP", dark),
        saved(tmp_path / "i.jpg", dark, quality=95),
        saved(tmp_path / "j.jpeg", dark, "CMYK", quality=95),
        saved(tmp_path / "k.png", swapped, exif=exif),
    ]
    for path, image in zip(paths, read_pictures(paths, network(28, 28)), strict=True):
        off = np.abs(image.reshape(28, 28).astype(int) - wanted).max()
        assert off <= (40 if "j" in path.suffix else 0), path.name  # JPEG has a little noise


def test_pictures_of_the_networks_size_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (4, 6), np.uint8), rng.integers(0, 256, (4, 6, 3), np.uint8)
    path = saved(tmp_path / "a.png", grey)
    assert read_pictures([path] * 2, network(4, 6), as_is=True).tolist() == [[*grey.flat]] * 2
    assert read_pictures([path], network(1, 4, 6), as_is=True, invert="yes").tolist() == [
        [*(255 - grey).flat]]
    path = saved(tmp_path / "b.png", colour)
    assert read_pictures([path], network(3, 4, 6), as_is=True).tolist() == [
        [*colour.transpose(2, 0, 1).flat]]


GREY = np.arange(24, dtype=np.uint8).reshape(4, 6)


@pytest.mark.parametrize("pixels,shape,as_is,text", [
    (GREY, (6, 4), True, r"a.png: must be 4 x 6 pixels of 8 bits, grey \(mode L\), with --as-is, "
                         "not 6 x 4 of mode L; leave --as-is out"),
    (np.dstack([GREY] * 3), (4, 6), True, "not 6 x 4 of mode RGB"),
    (GREY.astype(np.uint16), (4, 6), True, "not 6 x 4 of mode I;16"),
    (GREY, (3, 4, 6), True, r"three colours \(mode RGB\), with --as-is, not 6 x 4 of mode L$"),
    (GREY, (3, 4, 6), False, "must be given with --as-is"),
    (np.full((9, 9), 200, np.uint8), (8, 8), False, "a.png: must have ink .* not 0; is it blank"),
])
def test_other_sizes_and_depths_are_refused(tmp_path, pixels, shape, as_is, text):
    path = saved(tmp_path / "a.png", pixels)
    with pytest.raises(ConfigError, match=text):
        read_pictures([path], network(*shape), as_is=as_is)


def test_damaged_large_and_foreign_files_are_one_line(tmp_path, monkeypatch):
    whole = saved(tmp_path / "a.png", np.tile(GREY, (50, 50))).read_bytes()
    (tmp_path / "b.png").write_bytes(whole[:-40])
    (tmp_path / "c.png").write_bytes(b"GIF89a" + whole)
    (tmp_path / "d.png").write_bytes(b"")
    saved(tmp_path / "e.bmp", GREY).rename(tmp_path / "e.png")
    for name, text in (("b", "damaged or no .png"), ("c", "damaged or no .png"),
                       ("d", "damaged or no .png"), ("e", "damaged or no .png"),
                       ("f", r"cannot be read \(No such file")):
        with pytest.raises(ConfigError, match=f"{name}.png: .*{text}") as found:
            read_pictures([tmp_path / f"{name}.png"], network(8, 8))
        assert "\n" not in str(found.value)
    for limit, text in (("MOST_PIXELS", "at most 100 pixels, not 300 x 200"),
                        ("MOST_SIDE", "sides of at most 100 pixels, not 300 x 200"),
                        ("MOST_BYTES", "at most 0 MiB, not")):
        with monkeypatch.context() as patch:
            patch.setattr(pictures, limit, 100)
            with pytest.raises(ConfigError, match=text):
                read_pictures([tmp_path / "a.png"], network(8, 8))


def test_a_picture_that_claims_to_be_huge_is_never_unpacked(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.bmp", GREY)
    data = bytearray(path.read_bytes())
    data[18:26] = (50_000).to_bytes(4, "little") * 2
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"a\.bmp: .*(at most|damaged)"):
        read_pictures([path], network(8, 8))


def test_without_pillow_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ToolError, match="need the Python package Pillow; install it with: pip"):
        read_pictures([tmp_path / "a.png"], network(8, 8))

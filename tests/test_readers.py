"""Readers of official files: small ones written here in the same formats, and damaged ones."""

import gzip
import re

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from spikeloom.flow import cli
from spikeloom.flow.errors import ConfigError
from spikeloom.nas import datasets
from spikeloom.nas.datasets import cifar100, images, mnist, svhn, tiny_imagenet
from spikeloom.nas.datasets.images import Subset

FEW = Subset(train=3, validation=2, test=2)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKELOOM_DATASETS", str(tmp_path))
    datasets.load.cache_clear()
    return tmp_path


def refused(read, path, words):
    """The error: one line that begins with the file, says the rule, and where the file is from."""
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        read()
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    assert "it comes from " in text and "SPIKELOOM_DATASETS names the folder that" in text


def splits(data) -> dict:
    return {name: getattr(data, name) for name in images.SPLITS}


def is_balanced(data, classes):
    """Whether the subset `FEW` is what it says, and no image of training is held out, too."""
    for name, split in splits(data).items():
        assert (np.bincount(split.labels, minlength=classes) == getattr(FEW, name)).all()
        assert split.inputs.dtype == np.uint8 and split.labels.dtype == np.int64
        assert split.inputs.shape == (len(split), np.prod(data.shape))
    fit = {bytes(row) for row in (*data.train.inputs, *data.validation.inputs)}
    assert len(fit) == len(data.train) + len(data.validation)


# MNIST


def idx(values):
    head = bytes((0, 0, 8, values.ndim)) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return head + values.astype(np.uint8).tobytes()


@pytest.fixture
def digits(root, monkeypatch):
    """80 and 40 images of 28 x 28; the first pixels tell the label, the file and the place."""
    monkeypatch.setattr(mnist, "TRAINING", 80)
    monkeypatch.setattr(mnist, "TEST", 40)
    monkeypatch.setattr(mnist, "HELD", 30)
    monkeypatch.setitem(mnist.SETS, "mnist-small", FEW)
    folder = root / "mnist"
    folder.mkdir()
    for part, count in (("train", 80), ("t10k", 40)):
        labels = np.arange(count) % 10
        pixels = np.zeros((count, 28, 28))
        pixels[:, 0, 0], pixels[:, 0, 1], pixels[:, 0, 2] = labels, count, np.arange(count)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


def test_mnist_holds_out_the_last_training_images(digits):
    data = mnist.load("mnist")
    assert (data.name, data.shape, data.num_classes) == ("mnist", (28, 28), 10)
    assert data.train.inputs[:, 2].tolist() == list(range(50))
    assert data.validation.inputs[:, 2].tolist() == list(range(50, 80))
    assert set(data.test.inputs[:, 1]) == {40} and len(data.test) == 40
    assert mnist.sizes("mnist") == (50, 30, 40)
    small = mnist.load("mnist-small")
    is_balanced(small, 10)
    assert small.train.inputs[:, 2].max() < 50 <= small.validation.inputs[:, 2].min()
    for split in (*splits(data).values(), *splits(small).values()):
        assert (split.inputs[:, 0] == split.labels).all()
    assert (mnist.load("mnist-small").train.inputs == small.train.inputs).all()
    assert mnist.sizes("mnist-small") == tuple(map(len, splits(small).values()))
    assert "mnist-small: 30 train, 20 validation and 20 test" in datasets.described("mnist-small")
    assert "the last 30 training images" in datasets.described("mnist")


def test_files_of_mnist_may_lie_by_themselves(digits, monkeypatch):
    wanted = mnist.load("mnist")
    for name in ("train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):  # and one of them packed
        path = digits / name
        path.with_name(name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    monkeypatch.setenv("SPIKELOOM_DATASETS", str(digits))
    found = mnist.load("mnist")
    for part, split in splits(found).items():
        assert (split.inputs == splits(wanted)[part].inputs).all()
    monkeypatch.setenv("SPIKELOOM_DATASETS", str(digits / "elsewhere"))
    refused(lambda: mnist.load("mnist"),
            digits / "elsewhere" / "mnist" / "train-images-idx3-ubyte.gz", "cannot be read")


def test_mnist_compressed_is_the_same(digits):
    wanted = mnist.load("mnist")
    for path in list(digits.iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    found = mnist.load("mnist")
    assert all((a.inputs == b.inputs).all() and (a.labels == b.labels).all()
               for a, b in zip(splits(wanted).values(), splits(found).values()))


@pytest.mark.parametrize("spoil,words", [
    (lambda raw: raw[:-1], "must have 62,736 bytes, not 62,735"),
    (lambda raw: raw + b"\0", "must have 62,736 bytes, not more"),
    (lambda raw: raw[:9], "must have 80 x 28 x 28 values, not 80 x 0 x 0"),
    (lambda raw: b"\0\0\x0d" + raw[3:], "magic number 0x00000803, not 0x00000d03"),
    (lambda raw: b"", "magic number 0x00000803, not 0x;"),
    (lambda raw: raw[:4] + b"\xff" * 4 + raw[8:], "not 4,294,967,295 x 28 x 28"),
])
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_idx_files(digits, spoil, words, packed):
    path = digits / "train-images-idx3-ubyte"
    raw = spoil(path.read_bytes())
    path.unlink()
    path = path.with_name(path.name + ".gz" * packed)
    path.write_bytes(gzip.compress(raw) if packed else raw)
    refused(lambda: mnist.load("mnist"), path, words)


@pytest.mark.parametrize("spoil", [
    lambda raw: raw[:200], lambda raw: b"no gzip at all",
    lambda raw: raw[:-8] + bytes(4) + raw[-4:], lambda raw: raw[:20] + b"\xff" * 40 + raw[60:]])
def test_damaged_gzip_files(digits, spoil):
    path = digits / "t10k-images-idx3-ubyte"
    raw = gzip.compress(path.read_bytes(), mtime=0)
    path.unlink()
    path = path.with_name(path.name + ".gz")
    path.write_bytes(spoil(raw))
    refused(lambda: mnist.load("mnist"), path, "must be a whole gzip file (")


def test_labels_of_mnist_beyond_its_classes(digits):
    path = digits / "t10k-labels-idx1-ubyte"
    raw = bytearray(path.read_bytes())
    raw[8 + 7] = 11
    path.write_bytes(raw)
    refused(lambda: mnist.load("mnist"), path, "labels must be in 0..9, not 11 of image 7")


def test_too_few_digits_of_a_class(digits):
    path = digits / "train-labels-idx1-ubyte"
    path.write_bytes(idx(np.full(80, 4)))
    refused(lambda: mnist.load("mnist-small"), path, "must have 3 images of class 0, not 0")


# CIFAR-100


@pytest.fixture
def objects(root, monkeypatch):
    monkeypatch.setattr(cifar100, "TRAINING", 600)
    monkeypatch.setattr(cifar100, "TEST", 300)
    monkeypatch.setitem(cifar100.SETS, "cifar100-small", FEW)
    folder = root / "cifar-100-binary"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, count in (("train", 600), ("test", 300)):
        records = rng.integers(0, 256, (count, 3074), np.uint8)
        records[:, 0], records[:, 1] = 19, np.arange(count) % 100
        records[:, 2] = records[:, 1]
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    return folder


def test_cifar100_has_the_fine_classes(objects):
    data = cifar100.load("cifar100-small")
    assert (data.shape, data.num_classes) == ((3, 32, 32), 100)
    is_balanced(data, 100)
    for split in splits(data).values():
        assert (split.inputs[:, 0] == split.labels).all()
    assert cifar100.sizes("cifar100-small") == (300, 200, 200)


@pytest.mark.parametrize("spoil,words", [
    (lambda raw: raw.pop(), "must be 600 or more records of 3074 bytes, not 1,844,399 bytes"),
    (lambda raw: raw.__setitem__(3074 * 5 + 1, 100), "must be in 0..99, not 100 in record 5"),
    (lambda raw: raw.__delitem__(slice(3074, None)), "not 3,074 bytes"),
])
def test_damaged_records(objects, spoil, words):
    path = objects / "train.bin"
    raw = bytearray(path.read_bytes())
    spoil(raw)
    path.write_bytes(raw)
    refused(lambda: cifar100.load("cifar100-small"), path, words)


# SVHN


@pytest.fixture
def numbers(root, monkeypatch):
    """Pixel (1, 2) of each colour tells the digit, the colour and the place."""
    monkeypatch.setattr(svhn, "TRAINING", 90)
    monkeypatch.setattr(svhn, "TEST", 47)
    monkeypatch.setitem(svhn.SETS, "svhn", Subset(train=None, validation=2, test=None))
    monkeypatch.setitem(svhn.SETS, "svhn-small", FEW)
    folder = root / "svhn"
    folder.mkdir()
    for name, count in (("train", 90), ("test", 47)):
        y = np.arange(count) % 10 + 1
        X = np.zeros((32, 32, 3, count), np.uint8)
        X[1, 2, 0], X[1, 2, 1], X[1, 2, 2] = y % 10, 77, np.arange(count)
        savemat(folder / f"{name}_32x32.mat", {"X": X, "y": y[:, None].astype(np.uint8)},
                do_compression=True)
    return folder


def test_svhn_takes_every_image_that_is_not_held_out(numbers):
    data, small = svhn.load("svhn"), svhn.load("svhn-small")
    assert (data.shape, data.num_classes) == ((3, 32, 32), 10)
    assert svhn.sizes("svhn") == tuple(map(len, splits(data).values())) == (70, 20, 47)
    assert (np.bincount(data.validation.labels) == 2).all()
    is_balanced(small, 10)
    places = [split.inputs[:, 2 * 1024 + 34].tolist() for split in splits(data).values()]
    assert sorted(places[0] + places[1]) == list(range(90)) and sorted(places[2]) == list(range(47))
    for split in (*splits(data).values(), *splits(small).values()):
        assert (split.inputs[:, 34] == split.labels).all(), "row by row, and 10 is a zero"
        assert (split.inputs[:, 1024 + 34] == 77).all()


def saved(**arrays):
    def write(path):
        savemat(path, arrays)
    return write


X = np.zeros((32, 32, 3, 90), np.uint8)
Y = np.ones((90, 1), np.uint8)


@pytest.mark.parametrize("write,words", [
    (lambda path: path.write_bytes(b""), "must be a whole MATLAB 5 file"),
    (lambda path: path.write_bytes(path.read_bytes()[:300]), "y must be uint8 or double [90, 1]"),
    (lambda path: path.write_bytes(path.read_bytes()[:-30]), "must be a whole MATLAB 5 file"),
    (lambda path: path.write_bytes(b"no MATLAB file " * 30), "must be a whole MATLAB 5 file"),
    (saved(X=X[..., :50], y=Y), "X must be uint8 [32, 32, 3, 90], not uint8 [32, 32, 3, 50]"),
    (saved(X=X.astype(float), y=Y), "X must be uint8 [32, 32, 3, 90], not double"),
    (saved(y=Y), "X must be uint8 [32, 32, 3, 90], not nothing []"),
    (saved(X=X, y=Y[:5]), "y must be uint8 or double [90, 1], not uint8 [5, 1]"),
    (saved(X=X, y=Y - 1), "y must be in 1..10, not 0 of image 0"),
    (saved(X=X, y=Y + 0.5), "y must be in 1..10, not 1.5 of image 0"),
])
def test_damaged_matlab_files(numbers, write, words):
    path = numbers / "train_32x32.mat"
    write(path)
    refused(lambda: svhn.load("svhn"), path, words)


# Tiny ImageNet

WNIDS = ("n02000002", "n01000001")


@pytest.fixture
def folders(root, monkeypatch):
    monkeypatch.setattr(tiny_imagenet, "CLASSES", 2)
    monkeypatch.setattr(tiny_imagenet, "EACH", 6)
    monkeypatch.setattr(tiny_imagenet, "TEST", 4)
    monkeypatch.setitem(tiny_imagenet.SETS, "tiny-imagenet-small", FEW)
    folder = root / "tiny-imagenet-200"
    (folder / "val" / "images").mkdir(parents=True)
    (folder / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in WNIDS))

    def picture(path, red, green):
        pixels = np.zeros((64, 64, 3), np.uint8)
        pixels[..., 0], pixels[..., 1] = red, green
        Image.fromarray(pixels).save(path, format="JPEG", quality=95)

    for label, wnid in enumerate(sorted(WNIDS)):
        (folder / "train" / wnid / "images").mkdir(parents=True)
        for k in range(6):
            picture(folder / "train" / wnid / "images" / f"{wnid}_{k}.JPEG", 200 * label, 30 * k)
    lines = []
    for k in range(4):
        lines.append(f"val_{k}.JPEG\t{sorted(WNIDS)[k % 2]}\t0\t32\t44\t62\n")
        picture(folder / "val" / "images" / f"val_{k}.JPEG", 200 * (k % 2), 255)
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    return folder


def test_tiny_imagenet_is_read_by_its_lists(folders):
    data = tiny_imagenet.load("tiny-imagenet-small")
    assert (data.shape, data.num_classes) == ((3, 64, 64), 2)
    is_balanced(data, 2)
    for name, split in splits(data).items():
        planes = split.inputs.reshape(-1, 3, 4096).mean(2)
        assert ((planes[:, 0] > 100) == split.labels).all(), "classes are in the order of names"
        assert (planes[:, 2] < 20).all()
        assert (planes[:, 1] > 240).all() == (name == "test")


def test_a_subset_reads_no_other_files(folders):
    wanted = tiny_imagenet.load("tiny-imagenet-small")
    train = {bytes(row) for row in (*wanted.train.inputs, *wanted.validation.inputs)}
    for path in folders.glob("train/*/images/*"):
        pixels = np.asarray(Image.open(path)).transpose(2, 0, 1)
        if pixels.tobytes() not in train:
            path.unlink()
    assert len(list(folders.glob("train/*/images/*"))) == 10
    found = tiny_imagenet.load("tiny-imagenet-small")
    assert (found.train.inputs == wanted.train.inputs).all()


def test_grey_images_have_three_equal_planes(folders):
    for path in folders.glob("train/*/images/*"):
        Image.new("L", (64, 64), 90).save(path, format="JPEG")
    inputs = tiny_imagenet.load("tiny-imagenet-small").train.inputs.reshape(-1, 3, 4096)
    assert (inputs == inputs[:, :1]).all() and abs(int(inputs[0, 0, 0]) - 90) < 3


@pytest.mark.parametrize("write,words", [
    (lambda path: path.write_bytes(path.read_bytes()[:300]), "must be a whole JPEG file"),
    (lambda path: path.write_bytes(b""), "must be a whole JPEG file"),
    (lambda path: Image.new("RGB", (64, 64)).save(path, format="PNG"), "must be a whole JPEG file"),
    (lambda path: Image.new("RGB", (32, 64)).save(path, format="JPEG"),
     "must be 64 x 64 pixels, not 32 x 64"),
    (lambda path: Image.new("L", (12000, 12000)).save(path, format="JPEG"),
     "must be a whole JPEG file (DecompressionBombWarning)"),
    (lambda path: path.unlink(), "cannot be read (No such file or directory)"),
])
def test_damaged_pictures(folders, write, words):
    path = folders / "val" / "images" / "val_2.JPEG"
    write(path)
    refused(lambda: tiny_imagenet.load("tiny-imagenet-small"), path, words)


@pytest.mark.parametrize("name,text,words", [
    ("wnids.txt", "n01000001\n", "must name 2 different classes, a line each, not 1 in 1 lines"),
    ("wnids.txt", "n01000001\nn01000001\n", "not 1 in 2 lines"),
    ("wnids.txt", "n01000001\n../../etc\n", "names must be n and eight digits, not '../../etc'"),
    ("val/val_annotations.txt", "", "must name 4 different images, not 0"),
    ("val/val_annotations.txt", "../x.JPEG\tn01000001\t0\n", "lines must be the name of an image"),
    ("val/val_annotations.txt", "val_0.JPEG\tn09999999\t0\n", "not 'val_0.JPEG\\tn09999999\\t0'"),
])
def test_damaged_lists(folders, name, text, words):
    (folders / name).write_text(text)
    refused(lambda: tiny_imagenet.load("tiny-imagenet-small"), folders / name, words)


# all of them


@pytest.mark.parametrize("name,path", [
    ("mnist", "mnist/train-images-idx3-ubyte.gz"),
    ("cifar10", "cifar-10-batches-bin/data_batch_1.bin"),
    ("cifar100", "cifar-100-binary/train.bin"), ("svhn", "svhn/train_32x32.mat"),
    ("tiny-imagenet", "tiny-imagenet-200/wnids.txt")])
def test_a_folder_without_the_files_is_one_line(root, name, path, capsys):
    refused(lambda: datasets.load(name), root / path, "cannot be read (No such file or directory)")
    assert cli.main(["train", "--data", name, "--run", str(root / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"spikeloom train: {root / path}: ") and error.count("\n") == 1


def test_every_data_set_says_what_it_is_without_its_files(root):
    for name, home in datasets.HOMES.items():
        text = datasets.described(name)
        train, validation, test = (f"{size:,}" for size in home.sizes(name))
        assert text.startswith(f"{name}: {train} train, {validation} validation and {test} test")
    assert datasets.HOMES["tiny-imagenet"].sizes("tiny-imagenet") == (90_000, 10_000, 10_000)
    assert datasets.HOMES["cifar100"].sizes("cifar100") == (45_000, 5_000, 10_000)
    assert datasets.HOMES["svhn"].sizes("svhn") == (68_257, 5_000, 26_032)


def test_where_data_sets_lie(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKELOOM_DATASETS", str(tmp_path / "sets"))
    assert images.folder() == tmp_path / "sets"
    monkeypatch.delenv("SPIKELOOM_DATASETS")
    monkeypatch.setenv("SPIKELOOM_DATA", str(tmp_path))
    assert images.folder() == tmp_path / "datasets"
    monkeypatch.delenv("SPIKELOOM_DATA")
    assert images.folder().name == "datasets" and "spikeloom" in str(images.folder())

"""Published numbers: one file, each with its source."""

from spikeloom.nas import published, studies
from spikeloom.nas.cells.cell import OPERATIONS


def test_every_number_is_of_known_studies_and_has_a_source():
    found = published.load()
    assert found.format == 1 and len(found.numbers) > 20
    for item in found.numbers:
        assert item.studies and set(item.studies) <= set(studies.names())
        assert item.kind in published.KINDS and item.source and item.system and item.quantity


def test_every_study_of_cells_has_some():
    for name in ("operations", "budget", "precision", "scores"):
        sheet = published.sheet(name)
        assert sheet.rows and "Published" in sheet.heading
        assert all(len(row) == len(sheet.columns) for row in sheet.rows)
    assert published.sheet("crossbar").rows == ()


def test_the_published_order_of_operations():
    found = published.significance()
    assert set(found) == set(OPERATIONS)
    assert (found["conv3x3"] > found["skip"] > found["avgpool3x3"] > found["conv1x1"]
            == found["zeroize"] == found["conv5x5"] == found["conv7x7"])


def test_numbers_are_those_of_the_paper():
    found = {(item.system, item.quantity, item.data): item.value for item
             in published.load().numbers}
    assert found["NeuroNAS, 8-bit weights", "test accuracy", "CIFAR-10"] == 83.44
    assert found["SpikeNAS", "search faster than SNASNet's", "CIFAR-100"] == 117

"""Cells by name: published ones, and those of a run."""

import json

import pytest

from spikeloom.flow.errors import ConfigError, RunError
from spikeloom.nas.cells.cell import parse
from spikeloom.nas.cells.macro import Macro
from spikeloom.nas.cells.named import cells_by, published
from spikeloom.nas.cells.space import genome_of
from spikeloom.nas.space import identity
from spikeloom.nas.store import FILE, Evaluation, Store


@pytest.mark.parametrize("name", published())
def test_published_networks_have_the_weights_that_are_published(name):
    item, cells = published()[name], cells_by(name)
    assert item.source and all(cell.connected for cell in cells)
    assert item.weights in (None, Macro().weights(cells))


def test_weights_that_papers_name_are_all_there():
    assert {888_192, 1_772_928, 3_837_312, 4_722_048, 1_281_408} == {
        item.weights for item in published().values()} - {None}


def test_released_cells_run_backward():
    (cell,) = cells_by("snasnet-cifar100")
    assert [(edge.source, edge.target) for edge in cell.edges if edge.backward] == [(2, 0)]


def test_texts():
    assert cells_by("3|01|234") == (parse("3|01|234"),)
    assert cells_by("3|01|234, 1|11|111") == (parse("3|01|234"), parse("1|11|111"))


@pytest.mark.parametrize("text, words", [
    ("snasnet-cifar11", "unknown network of cells 'snasnet-cifar11'; did you mean "
                        "'snasnet-cifar10'?"),
    ("3|01|23", "cell must be numbers of operations"), ("", "cell must be numbers"),
    ("3|01|234,", "cell must be numbers")])
def test_what_is_no_network(text, words):
    with pytest.raises(ConfigError) as error:
        cells_by(text)
    assert words in str(error.value)


def test_candidates_of_a_run(tmp_path):
    with pytest.raises(RunError, match="there is no such search"):
        cells_by(f"{tmp_path}:ab")
    genomes = [genome_of([parse(f"3|1{k}|111")]) for k in range(3)]
    with Store(tmp_path / FILE) as store:
        store.add((Evaluation(genome=genome, seed=seed, settings="s", id=identity(genome),
                              generation=1, position=0, accuracy=None, epochs=0, stopped=None,
                              seconds=0.0, estimate={}, features=None), None)
                  for genome in genomes for seed in (1, 2))
    assert cells_by(f"{tmp_path}:{identity(genomes[1])[:8]}") == (parse("3|11|111"),)
    with pytest.raises(RunError, match="not 'xyz', that of 0"):
        cells_by(f"{tmp_path}:xyz")
    with pytest.raises(RunError, match="search for some first"):
        cells_by(f"{tmp_path}:")
    (tmp_path / "cells.json").write_text(json.dumps({"format": 1, "cells": ["3|01|234"]}))
    assert cells_by(f"{tmp_path}:") == (parse("3|01|234"),)

"""Tables of layer shapes: what is filled in, what is refused, and the published ones that ship."""

import json
from pathlib import Path

import pytest

from spikeloom.flow.cim.shapes import Layer
from spikeloom.flow.cim.tables import load_network
from spikeloom.flow.errors import ConfigError

ROOT = Path(__file__).parents[1]
CASES = ROOT / "tests" / "cases"
HEADER = "kind,out_channels,weight_bits,in_channels,in_size,kernel_size\n"
FIRST = "conv2d,8,4,3,32x16,3\n"


def written(tmp_path, text, name="net.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_vgg9_has_the_shapes_of_the_case():
    found = load_network(ROOT / "examples" / "vgg9.csv")
    cases = {case["name"]: case["inputs"] for case in json.loads(
        (CASES / "spikesim_ela.json").read_text())["cases"]}
    pooled, whole = cases["vgg9_cifar10_default"], cases["vgg9_unpooled_outdims"]
    convs = [layer for layer in found.layers if layer.kind == "conv2d"]
    assert found.num_steps == pooled["time_steps"] == 5 and found.name == "vgg9"
    assert [layer.in_channels for layer in convs] == pooled["in_ch_list"]
    assert [layer.out_channels for layer in convs] == pooled["out_ch_list"]
    assert [layer.in_size[0] for layer in convs] == pooled["in_dim_list"]
    assert [layer.out_size[0] for layer in convs] == whole["out_dim_list"]
    assert [layer.out_size[0] // layer.pool for layer in convs] == pooled["out_dim_list"]
    assert {layer.kernel_size for layer in convs} == {pooled["kernel_size"]}
    assert [(layer.in_channels, layer.out_channels) for layer in found.layers[7:]] == [
        (4 * 4 * 256, 1024), (1024, 10)]
    assert {layer.magnitude_bits for layer in found.layers} == {3}


def test_snasnet_has_the_shapes_and_the_parameters_of_the_case():
    found = load_network(ROOT / "examples" / "snasnet.toml")
    (row,) = json.loads((CASES / "neuronas_table.json").read_text())["rows"]
    assert [(layer.in_channels, layer.out_channels, layer.in_size[0], layer.out_size[0])
            for layer in found.layers] == [tuple(layer[key] for key in ("ic", "oc", "in_dim",
                                                                        "out_dim"))
                                           for layer in row["layers"]]
    assert sum(layer.weights for layer in found.layers) == row["params"] == 1281408
    assert {layer.magnitude_bits for layer in found.layers} == {31} and found.num_steps == 5


def test_what_is_left_out_follows_from_the_layers_before(tmp_path):
    found = load_network(written(tmp_path, """
        num_steps = 7
        source = "somewhere"
        [[layers]]
        kind = "conv2d"
        in_channels = 3
        out_channels = 8
        kernel_size = 3
        in_size = [32, 16]
        stride = 2
        pool = 3
        weight_bits = 4
        [[layers]]
        name = "middle"
        kind = "conv2d"
        kernel_size = 1
        out_channels = 5
        weight_bits = 2
        [[layers]]
        kind = "dense"
        out_channels = 10
        input_bits = 4
        weight_bits = 9
    """, "some.toml"))
    assert (found.name, found.num_steps) == ("some", 7)
    assert found.layers == (
        Layer(name="conv1", kind="conv2d", in_channels=3, out_channels=8, magnitude_bits=3,
              kernel_size=3, in_size=(32, 16), out_size=(16, 8), pool=3, source="input"),
        Layer(name="middle", kind="conv2d", in_channels=8, out_channels=5, magnitude_bits=1,
              kernel_size=1, in_size=(5, 2), out_size=(5, 2), source="conv1"),
        Layer(name="fc3", kind="dense", in_channels=50, out_channels=10, magnitude_bits=8,
              input_bits=4, source="middle"))


def test_the_three_forms_say_the_same(tmp_path):
    rows = [{"kind": "conv2d", "in_channels": 3, "out_channels": 8, "in_size": "9x7",
             "kernel_size": 3, "weight_bits": 4, "name": "a"},
            {"kind": "dense", "out_channels": 10, "weight_bits": 4, "name": "b"}]
    table = ("# a comment\n\n" + ",".join(rows[0]) + ",num_steps\n"
             + ",".join(map(str, rows[0].values())) + ", 6\n"
             + "dense,, 10 ,,,4,b,6\n# the end\n")
    plain = json.dumps({"num_steps": 6, "layers": rows})
    toml = "num_steps = 6\n" + "".join(
        "[[layers]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in row.items())
        for row in rows)
    found = {load_network(written(tmp_path, text, f"x.{form}")) for form, text in
             (("csv", table), ("json", plain), ("toml", toml))}
    assert len(found) == 1 and found.pop().num_steps == 6
    assert load_network(tmp_path / "x.csv", 9).num_steps == 9
    assert load_network(written(tmp_path, HEADER + FIRST)).num_steps == 1, "none is said"


def test_a_named_source_may_be_one_of_several(tmp_path):
    text = ("kind,out_channels,weight_bits,in_channels,source\ndense,4,3,6,\ndense,5,3,4,\n"
            "dense,3,3,9,fc1\ndense,2,3,8,input\n")
    found = load_network(written(tmp_path, text))
    assert [layer.source for layer in found.layers] == ["input", "fc1", "fc1", "input"]
    assert [layer.in_channels for layer in found.layers] == [6, 4, 9, 8]


@pytest.mark.parametrize(("text", "message"), [
    ("", "must have at least one layer, not none"),
    ("# nothing\n", "must have at least one layer, not none"),
    (HEADER, "must have at least one layer, not none"),
    ("kind,kind\n", "columns must differ, not 'kind' twice"),
    ("kind,chanels\n", "line 1: unknown column 'chanels'"),
    (HEADER + "conv2d,8,4\n", "line 2: must have 6 columns, as the header, not 3"),
    (HEADER + '"conv2d,8,4,3,32,3\n', "must be CSV"),
    (HEADER + FIRST.replace("conv2d", "conv"), "line 2: kind: unknown kind 'conv'; did you mean"),
    (HEADER + FIRST.replace("conv2d", ""), "line 2: kind must be conv2d or dense, not left out"),
    (HEADER + FIRST.replace(",8,", ",0,"), "out_channels must be an integer in 1..1048576, not '0"),
    (HEADER + FIRST.replace(",8,", ",-8,"), "out_channels must be an integer in 1..1048576, not"),
    (HEADER + FIRST.replace(",8,", ",8.5,"), "out_channels must be an integer"),
    (HEADER + FIRST.replace(",8,", ",,"), "must be an integer in 1..1048576, not left out"),
    (HEADER + FIRST.replace(",8,", ",9999999999999999999999,"), "not '9999999999999999999999'"),
    (HEADER + FIRST.replace(",4,", ",1,"), "weight_bits must be an integer in 2..64, not '1'"),
    (HEADER + FIRST.replace("32x16", "32x16x3"), "in_size must be one or two integers"),
    (HEADER + FIRST.replace("32x16", "0"), "in_size must be one or two integers in 1..65536"),
    (HEADER + FIRST.replace("32x16", ""), "in_size must be one or two integers"),
    (HEADER + FIRST.replace("16,3", "16,"), "kernel_size must be an integer in 1..64, not left"),
    (HEADER + FIRST + "conv2d,8,4,7,32x16,3\n",
     "line 3: in_channels and in_size must be 8 x 32 x 16, which conv1 leaves, not 7 x 32 x 16"),
    (HEADER + FIRST + "dense,8,4,77,,\n", "must be 4096 x 1 x 1, which conv1 leaves, not 77 x 1"),
    (HEADER + FIRST + "dense,8,4,,,3\n", "line 3: kernel_size must be 1 for a dense layer"),
    (HEADER + "dense,8,4,9,2,\n", "in_size must be 1 for a dense layer"),
    ("name," + HEADER + "input," + FIRST, "nor 'input', not 'input'"),
    ("name," + HEADER + "a," + FIRST + "a,dense,2,4,,,\n", "line 3: name must be a string that no"),
    ("source," + HEADER + "conv9," + FIRST, "source: unknown layer 'conv9'"),
    ("pool," + HEADER + "17," + FIRST, "pool must be at most the maps' 16, not 17"),
    ("num_steps," + HEADER + "5," + FIRST + "6,dense,2,4,,,\n",
     "line 3: num_steps must be 5, as in the rows above, not 6"),
    ("num_steps," + HEADER + "0," + FIRST, "num_steps must be an integer in 1..65536, not '0'"),
    (HEADER + 1025 * FIRST, "must have at most 1,024 layers, not 1,025"),
])
def test_a_wrong_table_is_refused_with_its_line_and_column(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        load_network(path)
    assert message in str(raised.value) and str(raised.value).startswith(str(path))


@pytest.mark.parametrize(("name", "text", "message"), [
    ("a.txt", "", "must be a file of the kind .csv, .toml, .json, not '.txt'"),
    ("a", "", "not one without a suffix"),
    ("a.toml", "layers = ", "must be TOML"),
    ("a.toml", "[layers]\n", "layers must be a list of tables, not {}"),
    ("a.toml", "lyers = []\n", "unknown key 'lyers'; did you mean 'layers'?"),
    ("a.toml", "layers = [3]\n", "layer 1: must be a table, not 3"),
    ("a.toml", "name = 3\n[[layers]]\nkind = 'dense'\nin_channels = 2\nout_channels = 2\n"
               "weight_bits = 2\n", "name must be a string, not 3"),
    ("a.toml", "[[layers]]\nkind = 'dense'\nin_channels = true\n", "channels must be an integer"),
    ("a.toml", "[[layers]]\nkind = 'dense'\nin_chanels = 2\n", "layer 1: unknown column 'in_chan"),
    ("a.json", "{", "must be JSON"),
    ("a.json", "[" * 100_000, "must be JSON"),
    ("a.json", "[]", "must be a table with a list of layers, not []"),
    ("a.json", '{"layers": [{"kind": ["dense"]}]}', "unknown kind"),
    ("a.json", '{"layers": [{"kind": "dense", "name": 4}]}', "name must be a string"),
])
def test_a_file_that_is_no_table_is_refused(tmp_path, name, text, message):
    with pytest.raises(ConfigError) as raised:
        load_network(written(tmp_path, text, name))
    assert message in str(raised.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no\.csv: cannot be read"):
        load_network(tmp_path / "no.csv")
    (tmp_path / "b.csv").write_bytes(b"kind\xff\n")
    with pytest.raises(ConfigError, match="must be text in UTF-8"):
        load_network(tmp_path / "b.csv")

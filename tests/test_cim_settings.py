"""An array from a file and from options: what is laid over what, and what is refused."""

import pytest

from spikeloom.flow.cim.array import Array
from spikeloom.flow.cim.settings import load_array
from spikeloom.flow.errors import ConfigError


def test_changes_lie_over_the_file_and_the_file_over_the_defaults(tmp_path):
    path = tmp_path / "array.toml"
    path.write_text("rows = 128\ncols = 32\nr_on = 10000\nencoding = 'offset'\n")
    assert load_array(None) == Array()
    assert load_array(path) == Array(rows=128, cols=32, r_on=10e3, encoding="offset")
    changes = ["rows=256", "share_tiles = true", "encoding=twos_complement"]
    assert load_array(path, changes) == Array(
        rows=256, cols=32, r_on=10e3, encoding="twos_complement", share_tiles=True)


@pytest.mark.parametrize(("text", "changes", "message"), [
    ("rwos = 1\n", (), "array.rwos: unknown key 'rwos'; did you mean 'rows'?"),
    ("rows = 'x'\n", (), "array.rows must be an integer, not 'x'"),
    ("rows = 0\n", (), "array.rows must be in 1..4096, not 0"),
    ("[array]\nrows = 3\n", (), "array.array: unknown key 'array'"),
    ("rows", (), "must be TOML"),
    ("", ("rows",), "--set must be KEY=VALUE, such as rows=128, not 'rows'"),
    ("", ("=3",), "--set must be KEY=VALUE"),
    ("", ("rows=",), "array.rows must be an integer, not ''"),
    ("", ("rows=1.5",), "array.rows must be an integer, not 1.5"),
    ("", ("cels=1",), "array.cels: unknown key 'cels'; did you mean 'cols'?"),
    ("", ("encoding=offst",), "unknown encoding 'offst'; did you mean 'offset'?"),
    ("r_on = 1e5\n", ("r_off=5e4",), "array.r_on must be less than r_off, 50000 ohm, not 100000"),
    ("", ("r_on=-1",), "array.r_on must be more than 0 and finite, not -1"),
    ("", ("r_on=nan",), "array.r_on must be more than 0 and finite, not nan"),
])
def test_wrong_settings_are_refused(tmp_path, text, changes, message):
    path = tmp_path / "array.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_array(path, changes)
    assert message in str(raised.value)
    assert str(path) in str(raised.value) or changes


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no\.toml: cannot be read"):
        load_array(tmp_path / "no.toml")

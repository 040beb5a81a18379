"""Pictures: bars with intervals, dots, and panels of different kinds."""

import math

from spikeloom.nas.pictures import Bars, Curve, Dots, Line, Scatter, draw


def test_bars_and_dots_have_words_intervals_and_repeat(tmp_path):
    bars = Bars("rank correlation", ("sahd", "depth"), (
        Line("32 networks", (0.5, math.nan), low=(0.3, math.nan), high=(0.7, math.nan)),
        Line("12 networks", (0.2, -0.1), std=(0.1, 0.2))), y_label="Kendall tau")
    dots = Scatter("sahd", "score", (Dots("first", (1.0, 2.0), (0.1, 0.2)),
                                     Dots("second", (3.0,), (0.3,))), percent=True,
                   y_label="accuracy", marks=(1.5,))
    files = draw([bars, dots], "a title", "", tmp_path / "all")
    assert [path.name for path in files] == ["all.svg", "all.pdf", "all.png"]
    assert files[2].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    svg = files[0].read_text()
    for words in ("a title", "rank correlation", "Kendall tau", "accuracy", "sahd", "depth",
                  "12 networks", "second"):
        assert f"<!-- {words} -->" in svg
    again = draw([bars, dots], "a title", "", tmp_path / "b")
    assert [path.read_bytes() for path in again[:2]] == [path.read_bytes() for path in files[:2]]


def test_text_of_a_pdf_is_text_in_embedded_truetype_fonts(tmp_path):
    curve = Curve("wires", "ohm", (0.0, 1.0), (Line("as it is", (0.9, 0.8)),))
    _, pdf, _ = draw([curve], "a title", "accuracy", tmp_path / "all")
    held = pdf.read_bytes()
    assert held.startswith(b"%PDF-") and b"/Type3" not in held
    assert b"/CIDFontType2" in held and b"/FontFile2" in held, "TrueType, and in the file"


def test_a_single_line_by_the_name_of_its_panel_needs_no_legend(tmp_path):
    bars = Bars("digits", ("a", "b"), (Line("digits", (1.0, 2.0)),), y_label="loss")
    svg = draw([bars], "a title", "", tmp_path / "all")[0].read_text()
    assert svg.count("<!-- digits -->") == 1 and "legend" not in svg


def test_bands_are_an_interval_or_a_deviation_within_what_can_be():
    assert Line("a", (0.9, 0.1), (0.2, 0.2)).band(0.0, 1.0) == ([0.7, 0.0], [1.0, 0.1 + 0.2])
    assert Line("a", (0.5,), low=(-0.2,), high=(0.8,)).band(0.0, 1.0) == ([-0.2], [0.8])
    assert Line("a", (0.5,)).band(0.0, 1.0) == ([0.5], [0.5])


def test_a_curve_need_not_be_of_shares(tmp_path):
    curve = Curve("agreement", "bits", (4.0, 8.0), (Line("fixed", (-0.5, 0.9)),), percent=False,
                  y_label="tau")
    svg = draw([curve], "a title", "", tmp_path / "all")[0].read_text()
    assert "<!-- tau -->" in svg and "%" not in "".join(
        line for line in svg.splitlines() if line.strip().startswith("<!--"))

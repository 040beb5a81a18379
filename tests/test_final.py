"""The choice: who may be chosen, in which order, and what is said where nobody may."""

import msgspec
import pytest
from test_routing import done
from tiny_search import few, task

from spikeloom.flow.errors import FitError
from spikeloom.nas import datasets, final


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setitem(datasets.LOADERS, "few", few)


def ids(found, *changes) -> list[str]:
    return [item.id for item in final.order(task(*changes), found)]


MEASURED = [done("aa", 0.8, 1000), done("bb", 0.9, 1500), done("bc", 0.9, 1400),
            done("slow", 0.99, 900, meets_clock=False),
            msgspec.structs.replace(done("none", 0.99, 900), measured=None, reason="too large")]


def test_the_best_by_a_column_comes_first_and_ties_go_to_fewer_cells():
    assert ids(MEASURED) == ["bc", "bb", "aa"]
    assert ids(MEASURED, "search.choose='lc'") == ["aa", "bc", "bb"]
    assert ids(MEASURED, "search.choose='aa'") == ["aa"]


def test_means_of_confirming_trainings_decide_in_place_of_the_searches_accuracy():
    means = {"aa": [0.8, 0.98], "bb": [0.9, 0.85], "bc": [0.9, 0.8]}
    assert [item.id for item in final.order(task(), MEASURED, means)] == ["aa", "bb", "bc"]


def test_constraints_hold_for_who_is_chosen():
    assert ids(MEASURED, "search.constraints={ lc = 1450 }") == ["bc", "aa"]
    assert ids(MEASURED, "search.constraints={ accuracy = 0.85 }") == ["bc", "bb"]
    front = final.front(task("search.constraints={ lc = 1200 }"), MEASURED)
    assert [item.id for item in front] == ["aa"]


def test_where_nobody_may_be_chosen_every_reason_is_given():
    with pytest.raises(FitError) as error:
        ids(MEASURED, "search.constraints={ lc = 999 }")
    assert ("none of 5 candidates fits the board, meets its clock and keeps the constraints "
            "(Fmax 20.0 MHz; LCs 1,000, bound 999; LCs 1,400, bound 999; LCs 1,500, bound 999; "
            "too large)") in str(error.value)
    with pytest.raises(FitError, match="none was built"):
        ids([])


@pytest.mark.parametrize("start", ["b", "a0", "5"])
def test_an_id_must_be_of_one_that_may_be_chosen(start):
    with pytest.raises(FitError, match=r"the id of a measured candidate that fits \(aa, bb, bc\)"):
        ids(MEASURED, f"search.choose='{start}'")


def test_errors_are_fractions_of_what_was_measured():
    one = msgspec.structs.replace(
        done("a", 0.9, 1000), structural={"lc": 800}, first={"lc": 900}, predicted={"lc": 1100},
        low={"lc": 950}, high={"lc": 1200})
    two = msgspec.structs.replace(one, measured={"lc": 1250}, low={"lc": 1000})
    found = final.errors([one, two, MEASURED[-1]])
    assert found["structural"] == pytest.approx(
        {"mean": -0.28, "mean_absolute": 0.28, "worst": -0.36})
    assert found["first"] == pytest.approx({"mean": -0.19, "mean_absolute": 0.19, "worst": -0.28})
    assert found["predicted"] == pytest.approx(
        {"mean": -0.01, "mean_absolute": 0.11, "worst": -0.12, "inside": 0.5})
    assert final.errors([MEASURED[-1]]) == final.errors([]) == {}

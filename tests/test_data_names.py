"""Names in tables: short, of one width, told apart."""

import pytest
from rich.cells import cell_len

from data.names import padded, short_names, shortened

NAMES = ("$5 bill $10 note", "unknown", "very " * 40 + "long", "\u732b", "[bold]red", "-o", "\u732b" * 90)


@pytest.mark.parametrize("most", [7, 12, 24, 32])
def test_names_keep_both_ends_within_the_width(most):
    for name in NAMES:
        short = shortened(name, most)
        assert cell_len(short) <= most
        assert short == name or (
            name.startswith(short.split("...")[0]) and name.endswith(short.split("...")[1])
        )
        assert cell_len(padded(short, most)) == cell_len(padded(short, most, right=True)) == most


def test_names_that_fit_stay_as_they_are():
    assert short_names(NAMES[:2]) == {name: name for name in NAMES[:2]}
    assert short_names([]) == {}


def test_names_that_differ_in_the_middle_alone_are_told_apart():
    names = [f"{'a' * 40}{number}{'z' * 40}" for number in range(3)]
    assert len(set(short_names(names).values())) == 3


def test_signs_that_move_the_cursor_are_escaped():
    assert shortened("a\x1b[2Jb\r\n\u202ec") == r"a\x1b[2Jb\r\n\u202ec"

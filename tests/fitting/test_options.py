"""The values that an option takes from the command line."""

import pytest

from gmmcli.fitting.options import Option

INTEGER, NUMBER = Option(("--n",), "", "integer"), Option(("--f",), "", "number")


@pytest.mark.parametrize(("text", "value"), [("7", 7), ("+7", 7), ("-7", -7), ("007", 7), (" 7", 7)])
def test_an_integer_is_ascii_digits_with_a_sign(text, value):
    """Blanks around it do not matter: some programs print counts with them."""
    assert INTEGER.read(text) == value
    assert NUMBER.read(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("1e-6", 1e-6), ("-2E+3", -2e3)]
)
def test_a_number_is_decimal_with_an_exponent(text, value):
    """As C, awk and JSON write them."""
    assert NUMBER.read(text) == value


@pytest.mark.parametrize(
    "text", ["1_0", "\u0661", "\uff11", "0x10", "", " ", "1 0", "--1", "\u22121", "7\u00a0"]
)
@pytest.mark.parametrize("option", [INTEGER, NUMBER])
def test_what_only_python_takes_for_a_number_is_none(option, text):
    """Underscores, and digits and blanks of other scripts."""
    with pytest.raises(ValueError, match="must be"):
        option.read(text)


@pytest.mark.parametrize("text", ["inf", "nan", "infinity", "1e999", "1.5.2", "e5", "1_0.5", "1.\u0665"])
def test_a_number_is_finite(text):
    """An infinity is never a bound or a weight."""
    with pytest.raises(ValueError, match="must be a number"):
        NUMBER.read(text)

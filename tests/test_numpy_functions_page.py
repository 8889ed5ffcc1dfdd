"""The table of NumPy's functions in the documentation is what calling them gives."""

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "docs" / "make_numpy_functions.py"


def test_the_table_of_numpys_functions_is_up_to_date() -> None:
    """All calls stand in it, and every seventh row is made anew."""
    spec = importlib.util.spec_from_file_location("make_numpy_functions", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = script.PAGE.read_text(encoding="utf-8")
    if f"With NumPy {'.'.join(np.__version__.split('.')[:2])}." not in page:
        pytest.skip("the page was made with another NumPy")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = script.rows(script.surface(), lambda k: k % 7 == 3)
    lines = page.splitlines()
    for call, row in rows.items():
        assert row in lines if row else f"`{call}`" in page, (
            f"{call}: run python docs/make_numpy_functions.py"
        )
    assert "WRONG" not in page

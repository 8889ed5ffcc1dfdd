"""The table of primitives in the documentation is what the registry says."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "docs" / "make_primitives.py"


def test_the_table_of_primitives_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_primitives", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), (
        "run python docs/make_primitives.py"
    )

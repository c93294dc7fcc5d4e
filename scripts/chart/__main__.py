"""`python -m scripts.chart [--check]`: the chart's schema, its README's table and its copies of operations/."""

import json
import sys
from pathlib import Path

import yaml

from scripts.chart.readme import with_table
from scripts.chart.schema import schema_of
from scripts.chart.values import read_values

_ROOT = Path(__file__).resolve().parents[2]
_CHART = _ROOT / "helm" / "kandinsky-serving"
_DEFINITIONS = Path(__file__).with_name("definitions.yaml")

# A chart holds no files from outside its folder, so it has copies.
_COPIES = {"alerts.yaml": "operations/alerts.yaml", "dashboard.json": "operations/dashboard.json"}


def main() -> int:
    """Write what has changed, or with --check only say so; returns the exit code."""
    check = sys.argv[1:] == ["--check"]
    stale = [path for path, text in generated().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        name = path.relative_to(_ROOT)
        print(f"{name} is out of date; run: python -m scripts.chart" if check else f"wrote {name}")
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(generated()[path])
    return 1 if check and stale else 0


def generated() -> dict[Path, str]:
    """Each generated file and what it has to hold."""
    values = read_values((_CHART / "values.yaml").read_text())
    schema = schema_of(values, yaml.safe_load(_DEFINITIONS.read_text()))
    readme = _CHART / "README.md"
    return {
        _CHART / "values.schema.json": json.dumps(schema, indent=1, ensure_ascii=False) + "\n",
        readme: with_table(readme.read_text(), values),
        **{_CHART / "files" / copy: (_ROOT / source).read_text() for copy, source in _COPIES.items()},
    }


if __name__ == "__main__":
    sys.exit(main())

"""Print the descriptors: python -m reelward.measures"""

from rich.console import Console
from rich.table import Table

from reelward.measures.descriptors import DESCRIPTORS


def main() -> None:
    table = Table("descriptor", "meaning", "unit", "weight", "tolerance", "term of the reward")
    for spec in DESCRIPTORS:
        tolerance = f"{100 * spec.tolerance:g} %" if spec.relative else f"{spec.tolerance:g}"
        table.add_row(spec.name, spec.meaning, spec.unit, f"{spec.weight:g}", tolerance, spec.term)
    Console().print(table)


if __name__ == "__main__":
    main()

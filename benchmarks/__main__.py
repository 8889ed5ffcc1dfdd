"""The command ``python -m benchmarks``; a new suite is one entry of `SUITES`."""

import argparse
from pathlib import Path

from benchmarks import (
    control,
    elementwise,
    gradbench,
    imports,
    layers,
    norms,
    npbench,
    orders,
    sparsity,
    training,
    workloads,
)
from benchmarks.harness import Options, machine, render

SUITES = {
    "control": control.run,
    "elementwise": elementwise.run,
    "gradbench": gradbench.run,
    "imports": imports.run,
    "layers": layers.run,
    "norms": norms.run,
    "npbench": npbench.run,
    "orders": orders.run,
    "sparsity": sparsity.run,
    "training": training.run,
    "workloads": workloads.run,
}


def main() -> None:
    """Run the suites that the command line names and print their tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, rougher numbers")
    parser.add_argument("--only", choices=SUITES, metavar="NAME", help=f"one of {list(SUITES)}")
    parser.add_argument("--rows", default="", metavar="TEXT", help="only rows that contain TEXT")
    parser.add_argument("--markdown", action="store_true", help="for docs/benchmarks.md")
    parser.add_argument("--store", type=Path, metavar="FOLDER", help="keep numbers and pictures")
    arguments = parser.parse_args()
    options = Options(quick=arguments.quick, rows=arguments.rows)

    print("\n".join(machine()), end="\n\n", flush=True)
    for name, run in SUITES.items():
        if arguments.only in (None, name):
            report = run(options)
            print(render(name, report, markdown=arguments.markdown), flush=True)
            if arguments.store is not None:
                arguments.store.mkdir(parents=True, exist_ok=True)
                for file, text in report.files.items():
                    (arguments.store / file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

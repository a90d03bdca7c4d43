"""`python -m training.graphs FOLDER …`: write the graphs that a CPU runs into checkpoints that were trained before."""

import sys

import hub

from .export import build_graphs
from .onnx_graph import write_graphs


def main(arguments: list[str]) -> None:
    """Write the graphs of each folder named."""
    for argument in arguments:
        folder = hub.find(argument)
        task = hub.check(folder)
        graphs = build_graphs(task, hub.model_code(task.configuration).from_pretrained(folder))
        write_graphs(folder, graphs)
        print(f"{folder.name}: {', '.join(graphs) or 'none'}")


if __name__ == "__main__":
    main(sys.argv[1:])

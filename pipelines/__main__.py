"""`python -m pipelines TASK INPUT … [--option value]`: answers as JSON on standard output."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from tasks import TASKS

if TYPE_CHECKING:
    from . import Option

_KINDS = {"int": int, "float": float, "str": str}


def parser(task_name: str) -> argparse.ArgumentParser:
    """Build a task's command line from its pipeline's options."""
    from . import pipeline_class

    commands = argparse.ArgumentParser(prog=f"python -m pipelines {task_name}", description=__doc__)
    commands.add_argument("inputs", nargs="+", help="inputs; each is answered")
    commands.add_argument(
        "--model",
        action="append",
        help="folder, shipped checkpoint or repository on the Hub; written several times: an ensemble",
    )
    commands.add_argument("--revision", help="of the repository")
    commands.add_argument("--device", help='such as "cpu" or "cuda:0"')
    commands.add_argument("--batch-size", type=int, help="inputs that go through the network together")
    for option in pipeline_class(TASKS[task_name]).options:
        name = "evidence" if option.name == "return_evidence" else option.name.replace("_", "-")
        commands.add_argument(f"--{name}", dest=option.name, help=option.description, **_form(option))
    return commands


def _form(option: "Option") -> dict[str, Any]:
    """Say how an option is written; one that is not written is the checkpoint's."""
    if option.kind == "bool":
        return {"action": argparse.BooleanOptionalAction, "default": None}
    if option.kind == "texts":
        return {"action": "append", "type": str}
    return {"type": _KINDS[option.kind]}


def main(arguments: list[str]) -> int:
    """Answer every input; return the exit status."""
    if not arguments or arguments[0] not in TASKS:
        print(f"usage: python -m pipelines TASK INPUT …\ntasks: {', '.join(TASKS)}", file=sys.stderr)
        return 2
    options = vars(parser(arguments[0]).parse_args(arguments[1:]))
    from . import CheckpointError, InputError, pipeline, pipeline_class

    loading = {name: options.pop(name) for name in ("model", "revision", "device")}
    if loading["model"] is not None and len(loading["model"]) == 1:
        (loading["model"],) = loading["model"]
    try:
        inputs = [pipeline_class(TASKS[arguments[0]]).read_argument(text) for text in options.pop("inputs")]
        pipe = pipeline(arguments[0], **{name: value for name, value in loading.items() if value is not None})
        answers = pipe(inputs if len(inputs) > 1 else inputs[0], **options)
    except (CheckpointError, InputError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    json.dump(answers, sys.stdout, indent=2, ensure_ascii=False)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

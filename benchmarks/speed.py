"""How fast the networks run, beside others: `python -m benchmarks.speed --output runs/speed` (ten quiet minutes).

One thread, medians, both sides in turns and on the same core: what disturbs one core, such as a neighbour on the same
machine, would else meet one side alone. benchmarks/peers/install.sh installs the others. The floor of a line is the
time that its multiply-adds alone would take at this machine's best rate for products of that precision.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

import hub
from demo.examples import SAMPLES
from demo.story_examples import LECTURE
from models.configuration_attention_nmt import AttentionNmtConfig
from models.modeling_attention_nmt import AttentionNmtForConditionalGeneration
from models.onnx_runtime import OnnxSession
from pipelines import pipeline
from pipelines.ctc_beam_search import DecodingOptions
from training.attention_nmt_graphs import build_graphs
from training.onnx_graph import Graph, write_graphs

from . import characters
from .server_process import free_port, wait_until_ready

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
ROUNDS = 7
NUM_PIECES, SOURCE_PIECES = 18, 13
"""Of every translation, and of the sources."""
VOCAB_SIZE, SIZE = 8000, 512
STEPS, BEAM, RECORDINGS = 500, 16, 10
SEARCH_ROUNDS = 21
"""Of the CTC search."""
COLUMNS = ("what", "here", "other", "times", "floor")

Row = dict[str, Any]


def in_turns(sides: dict[str, Callable[[], float | None]], rounds: int = ROUNDS) -> dict[str, float]:
    """Return each side's median seconds; a side returns them itself where another process measures."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            started = time.perf_counter()
            seconds = side()
            seconds = time.perf_counter() - started if seconds is None else seconds
            if turn:  # the first is for warming up
                taken[name].append(seconds)
    return {name: statistics.median(values) for name, values in taken.items()}


def calling(function: Callable, *arguments: Any, **options: Any) -> Callable[[], None]:
    """Return a call without its result."""

    def call() -> None:
        function(*arguments, **options)

    return call


@contextmanager
def peer(module: str, setup: dict) -> Iterator[Callable[[dict], float]]:
    """Run a program of `benchmarks.peers` in its own environment; yield what asks it."""
    if not PEERS.is_file():
        raise SystemExit("Install what is compared with first: benchmarks/peers/install.sh")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [str(PEERS), str(ROOT / "benchmarks" / "peers" / f"{module}.py")]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )

    def ask(case: dict) -> Any:
        process.stdin.write(json.dumps(case) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            try:
                return json.loads(line)
            except ValueError:  # what the libraries print
                continue
        raise RuntimeError(f"{module} ended with {process.wait()}.")

    ask(setup)
    try:
        yield ask
    finally:
        process.kill()
        process.wait()


def best_rates() -> dict[str, float]:
    """Return this machine's best rate, multiply-adds a second, for one row (a step) and for many, of each precision."""
    rates = {}
    for precision in ("float32", "int8"):
        graph = Graph("product", quantized=precision == "int8")
        values = graph.input("values", np.float32, ("rows", 1024))
        graph.output(graph.linear(values, "layer", 1024, 1024, bias=False), "product", np.float32, ("rows", 1024))
        generator = np.random.default_rng(0)
        weights = {"layer.matrix": generator.normal(size=(1024, 1024))}
        session = OnnxSession(graph.serialize(), graph.weights, weights)
        for rows in (1, 5, 64, 320):
            inputs = {"values": generator.uniform(-1, 1, (rows, 1024)).astype(np.float32)}
            seconds = in_turns({"it": calling(session.run, inputs)}, 30)["it"]
            rates[f"{precision}, {rows} rows"] = rows * 2**20 / seconds
    return rates


def translation(rates: dict[str, float]) -> list[Row]:
    """Compare with JoeyNMT's network, and with a Transformer in CTranslate2.

    Our read-out is as wide as the embedding, JoeyNMT's as its states. With 512 for both the output layers are equal,
    where most of the work is; with 256 the embeddings are.
    """
    setup, rows = {"vocab_size": VOCAB_SIZE, "size": SIZE}, []
    with peer("translation", setup) as ask:
        for width in (SIZE, SIZE // 2):
            rows += translation_of_width(width, ask, rates)
    return rows


def translation_of_width(width: int, ask: Callable[[dict], float], rates: dict[str, float]) -> list[Row]:
    """Compare with one width of embeddings and read-outs."""
    torch.manual_seed(0)
    config = AttentionNmtConfig(
        vocab_size=VOCAB_SIZE,
        embedding_size=width,
        encoder_hidden_size=SIZE,
        decoder_hidden_size=SIZE,
        attention_size=SIZE,
    )
    model, rows = AttentionNmtForConditionalGeneration(config).eval(), []
    step = SIZE * (3 * SIZE + SIZE + width) + width * (3 * SIZE + VOCAB_SIZE)  # multiply-adds of a piece
    chance = random.Random(0)
    sources = [[chance.randrange(10, VOCAB_SIZE - 100) for _ in range(SOURCE_PIECES)] for _ in range(64)]
    with tempfile.TemporaryDirectory() as folder:
        write_graphs(Path(folder), build_graphs(config))
        ours = {"eager": model} | {name: model.compile_for_cpu(Path(folder), name) for name in ("float32", "int8")}
    for size in (1, 64):
        ids = torch.tensor(sources[:size])
        for num_beams in (1, 5):
            length = {"min_new_tokens": NUM_PIECES, "max_new_tokens": NUM_PIECES, "num_beams": num_beams}
            case = {"sources": sources[:size], "num_beams": num_beams, "length": NUM_PIECES}
            mask = torch.ones_like(ids)
            sides = {name: calling(network.translate, ids, mask, **length) for name, network in ours.items()}
            for name in ("JoeyNMT", "CTranslate2"):
                sides[name] = lambda name=name, case=case: ask(case | {"peer": name})
            seconds = in_turns(sides)
            what = f"batch {size}, {'greedy' if num_beams == 1 else f'beam {num_beams}'}, read-out {width}"
            for name in ours:
                precision = "int8" if name == "int8" else "float32"
                floor = size * num_beams * NUM_PIECES * step / rates[f"{precision}, {size * num_beams} rows"]
                rows.append(
                    _row(f"translation, {what}, {name}", seconds[name], "JoeyNMT 2.3", seconds["JoeyNMT"], floor)
                )
            smallest = "CTranslate2, Transformer 3 x 256, int8"
            rows.append(_row(f"translation, {what}, int8", seconds["int8"], smallest, seconds["CTranslate2"]))
    return rows


def writing(rates: dict[str, float]) -> list[Row]:
    """Compare the character generator's step with nn.LSTM's and nn.LSTMCell's; seconds a character."""
    found = {name: 1 / rate for name, rate in characters.rates().items()}
    size = characters.HIDDEN_SIZE
    floor = (size * 4 * size * (2 * characters.NUM_LAYERS - 1)) / rates["int8, 1 rows"]
    ours = found[characters.FASTEST]
    return [
        _row("a character, 3 x 512, int8", ours, name, seconds, floor)
        for name, seconds in found.items()
        if name != characters.FASTEST
    ]


def speech() -> list[Row]:
    """Compare the recogniser with its eager self, and the search with pyctcdecode's."""
    pipes = {name: pipeline("ctc-transcription", runtime=name) for name in ("onnx", "onnx-float32", "torch")}
    pipe = pipes["onnx"]
    clips = [pipe.check_input(str(path)).waveform for path in sorted(SAMPLES.glob("an4*.flac"))]
    waveform = np.concatenate(clips)[: 10 * 16000]
    sound = {"raw": waveform, "sampling_rate": 16000}
    read = pipe.check_input(sound)
    whole = in_turns({name: calling(one, sound, num_beams=1) for name, one in pipes.items()})
    features = pipe.feature_extractor.normalise(pipe.feature_extractor.log_mel(waveform))
    frames = torch.from_numpy(np.asarray(features, np.float32))[None]
    mask = torch.ones(frames.shape[:2], dtype=torch.bool)
    networks = in_turns({name: calling(one.network, frames, mask) for name, one in pipes.items()})
    rows = []
    for what, seconds in (("recognition, 10 s, network", networks), ("recognition, 10 s, best path, all of it", whole)):
        for name in ("onnx", "onnx-float32"):
            rows.append(_row(f"{what}, {name}", seconds[name], "eager", seconds["torch"]))
    return rows + ctc_search(pipe, pipes["torch"].listen([read])[0])


def ctc_search(pipe: Any, log_probabilities: torch.Tensor) -> list[Row]:
    """Compare the beam search with a language model with pyctcdecode's, on the network's posteriors and on noise.

    Both follow the same labels, keep as many texts, and return texts with scores and the times of their words. The
    posteriors are one recording's, begun at ten places, one after the other, as when a test split is read; then begun
    at one, while the other side takes its turn before each search and the caches are cold.
    """
    spoken = log_probabilities.repeat(-(-STEPS // len(log_probabilities)), 1)[:STEPS]
    recordings = torch.stack([spoken.roll(-turn * STEPS // RECORDINGS, 0) for turn in range(RECORDINGS)])
    chance = torch.Generator().manual_seed(0)
    noise = (2 * torch.randn(1, STEPS, log_probabilities.shape[1], generator=chance)).log_softmax(dim=-1)
    cases = {
        f"the network's own, {RECORDINGS} in a row": recordings,
        "the network's own, a single one": recordings[:1],
        "noise": noise,
    }
    options = DecodingOptions(num_beams=BEAM, language_model_weight=0.5, word_bonus=1.5)

    def search_all(numbers: torch.Tensor) -> None:
        for one in numbers:
            pipe.transcriber.beam_search.search(one, options)

    rows, model = [], hub.CHECKPOINTS / "blstm-ctc-an4" / "language_model.arpa"
    with (
        tempfile.TemporaryDirectory() as folder,
        peer("ctc", {"labels": list(pipe._characters), "arpa": str(model)}) as ask,
    ):
        for name, numbers in cases.items():
            path = Path(folder, "numbers.npy")
            np.save(path, numbers.numpy())
            case = {"log_probabilities": str(path), "num_beams": BEAM}
            seconds = in_turns({"here": calling(search_all, numbers), "peer": partial(ask, case)}, SEARCH_ROUNDS)
            what = f"CTC search, {STEPS} steps, beam {BEAM}, language model, {name}"
            rows.append(_row(what, seconds["here"] / len(numbers), "pyctcdecode", seconds["peer"] / len(numbers)))
    return rows


def answers() -> list[Row]:
    """Compare whole pipelines with their eager selves: a caption, an answer about a story, a translation."""
    story = {"context": LECTURE[0].story.sentences, "question": LECTURE[0].story.question}
    inputs = {
        "captioning": str(next(iter(sorted(SAMPLES.glob("*.jpg"))))),
        "memory-qa": story,
        "attention-translation": "A man in a red shirt rides a horse.",
    }
    rows = []
    for task, item in inputs.items():
        pipes = {name: pipeline(task, runtime=name) for name in ("onnx", "torch")}
        seconds = in_turns({name: calling(one, item) for name, one in pipes.items()}, 15)
        rows.append(_row(f"{task}, an answer of the default checkpoint", seconds["onnx"], "eager", seconds["torch"]))
    return rows


def starting() -> list[Row]:
    """Time a first translation from a cold process, until it is printed, and the demo until it is ready; weigh that."""
    program = 'from pipelines import pipeline; print(pipeline("attention-translation")("A dog runs."), flush=True)'
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    options = {"cwd": ROOT, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def translate() -> float:
        started = time.perf_counter()
        with subprocess.Popen([sys.executable, "-c", program], **options | {"stdout": subprocess.PIPE}) as process:
            if b"translation_text" not in process.stdout.readline():
                raise RuntimeError("A process that translates one sentence has failed.")
            return time.perf_counter() - started

    first = in_turns({"it": translate}, 5)
    seconds, memory = [], []
    for _ in range(3):
        port, started = free_port(), time.perf_counter()
        process = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], **options)
        try:
            wait_until_ready(process, f"http://127.0.0.1:{port}")
            seconds.append(time.perf_counter() - started)
            memory.append(psutil.Process(process.pid).memory_info().rss / 2**20)
        finally:
            process.terminate()
            process.wait()
    return [
        _row("import and first translation, cold", first["it"]),
        _row("the demo and the service, all checkpoints, until ready", statistics.median(seconds)),
        {**_row("memory of the same, MiB", 0), "here": f"{statistics.median(memory):.0f}"},
    ]


def _row(what: str, seconds: float, other: str = "", others_seconds: float = 0.0, floor: float = 0.0) -> Row:
    values = (
        what,
        _shown(seconds),
        f"{other}: {_shown(others_seconds)}" if other else "",
        f"{others_seconds / seconds:.1f}" if other else "",
        _shown(floor) if floor else "",
    )
    return dict(zip(COLUMNS, values, strict=True))


def _shown(seconds: float) -> str:
    return (
        f"{1e6 * seconds:.0f} us"
        if seconds < 1e-3
        else f"{1e3 * seconds:.1f} ms"
        if seconds < 1
        else f"{seconds:.2f} s"
    )


def table(rows: Sequence[Row]) -> str:
    """Write rows as Markdown."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


PARTS = ("translation", "writing", "speech", "answers", "starting")


def main() -> None:
    """Measure, print, and keep what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--output", type=Path, required=True, help="folder for speed.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "speed.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    process = psutil.Process()
    cores = process.cpu_affinity()
    with torch.inference_mode():
        process.cpu_affinity(cores[-1:])
        rates = best_rates()
        found["best rates, GMAC/s"] = {name: round(rate / 1e9, 1) for name, rate in rates.items()}
        measures = {
            "translation": lambda: translation(rates),
            "writing": lambda: writing(rates),
            "speech": speech,
            "answers": answers,
            "starting": starting,
        }
        for part in options.parts:
            process.cpu_affinity(cores if part == "starting" else cores[-1:])
            found[part] = measures[part]()
            path.write_text(json.dumps(found, indent=1), encoding="utf-8")
            print(table(found[part]), flush=True)
    print(json.dumps(found["best rates, GMAC/s"]))


if __name__ == "__main__":
    main()

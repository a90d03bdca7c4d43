"""How many characters a second the generator writes: `python -m benchmarks.characters`.

One thread, batch 1, the same shape for all (3 layers of 512, as char-RNN's largest), random weights: nn.LSTM called for
single steps, nn.LSTMCell, our step in PyTorch, exact and with weights of eight bits, in ONNX Runtime, and the whole
pipeline that uses it.
Rounds of all are interleaved, so that a disturbance meets every one; medians are printed.
"""

import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from models.configuration_char_rnn import CharRnnConfig
from models.modeling_char_rnn import CharRnnForCausalLM
from pipelines import pipeline
from tasks import TASKS
from training.char_rnn import build_tokenizer
from training.export import save_checkpoint

NUM_LAYERS, HIDDEN_SIZE = 3, 512
CHARACTERS = 200
ROUNDS = 15
SLOWEST, FASTEST = "nn.LSTM, a step a call", "ONNX Runtime's step, 8 bits"
ALPHABET = "".join(map(chr, range(32, 127))) + "\n\t"


def stepping_lstm(model: CharRnnForCausalLM) -> Callable[[], None]:
    """Call nn.LSTM for one step at a time."""
    lstm = nn.LSTM(model.config.embedding_size, HIDDEN_SIZE, NUM_LAYERS, batch_first=True).eval()

    def write() -> None:
        state, token = None, 5
        for _ in range(CHARACTERS // 10):  # it is that slow
            output, state = lstm(model.embedding.weight[token].view(1, 1, -1), state)
            token = int(model.output_projection(output[0]).argmax())

    return write


def stepping_cells(model: CharRnnForCausalLM) -> Callable[[], None]:
    """Call nn.LSTMCell, layer by layer."""
    sizes = [model.config.embedding_size, *[HIDDEN_SIZE] * (NUM_LAYERS - 1)]
    cells = [nn.LSTMCell(size, HIDDEN_SIZE) for size in sizes]

    def write() -> None:
        states, token = [None] * NUM_LAYERS, 5
        for _ in range(CHARACTERS):
            values = model.embedding.weight[token : token + 1]
            for index, cell in enumerate(cells):
                states[index] = cell(values, states[index])
                values = states[index][0]
            token = int(model.output_projection(values).argmax())

    return write


def stepping(model: CharRnnForCausalLM, step: Callable) -> Callable[[], None]:
    """Call one of our own steps, and take the best character."""
    beginning = model.initial_state(1)  # read beforehand: this is about steps

    def write() -> None:
        state, token = beginning, 5
        for _ in range(CHARACTERS):
            logits, state = step(token, state)
            token = int(logits.argmax())

    return write


def whole_pipeline(folder: Path, model: CharRnnForCausalLM) -> Callable[[], None]:
    """Ask the pipeline as a user does, sampling included."""
    save_checkpoint(folder, TASKS["char-generation"], copy.deepcopy(model), [build_tokenizer(ALPHABET)], {})
    pipe = pipeline("char-generation", model=str(folder), device="cpu")
    return lambda: pipe("a", max_new_tokens=CHARACTERS, do_sample=True, temperature=0.8, seed=1)


def measure(writers: dict[str, tuple[Callable[[], None], int]]) -> dict[str, float]:
    """Return the median of characters a second for each writer and the number it writes a call."""
    rates = {name: [] for name in writers}
    for _ in range(ROUNDS):
        for name, (write, characters) in writers.items():
            started = time.perf_counter()
            write()
            rates[name].append(characters / (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in rates.items()}


@torch.inference_mode()
def rates() -> dict[str, float]:
    """Return characters a second of every way."""
    torch.manual_seed(0)
    config = CharRnnConfig(
        vocab_size=len(ALPHABET) + 1, num_hidden_layers=NUM_LAYERS, hidden_size=HIDDEN_SIZE, embedding_size=128
    )
    model = CharRnnForCausalLM(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        pipe = whole_pipeline(Path(folder), model)
        compiled = model.compile_for_cpu(Path(folder), "int8")
        return measure(
            {
                SLOWEST: (stepping_lstm(model), CHARACTERS // 10),
                "nn.LSTMCell": (stepping_cells(model), CHARACTERS),
                "PyTorch's step, 32 bits": (stepping(model, model.exact_step), CHARACTERS),
                "PyTorch's step, 8 bits": (stepping(model, model.fast_step()), CHARACTERS),
                FASTEST: (stepping(model, compiled.fast_step()), CHARACTERS),
                "the whole pipeline, with sampling": (pipe, CHARACTERS),
            }
        )


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    found = rates()
    print(f"{NUM_LAYERS} x {HIDDEN_SIZE}, batch 1, one thread, median of {ROUNDS} rounds\n")
    print("| how | characters/s | times nn.LSTM |\n|---|---|---|")
    for name, rate in found.items():
        print(f"| {name} | {rate:,.0f} | {rate / found[SLOWEST]:.1f} |")


if __name__ == "__main__":
    main()

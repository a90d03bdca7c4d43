"""JoeyNMT's recurrent network and a Transformer in CTranslate2, with random weights; see `benchmarks.peers`."""

import json
import sys
import tempfile
import time
from types import SimpleNamespace

import ctranslate2
import numpy as np
import torch
from ctranslate2.specs import TransformerSpec
from joeynmt.batch import Batch
from joeynmt.model import build_model
from joeynmt.search import search
from joeynmt.vocabulary import Vocabulary

PAD, UNK, BOS, EOS = 1, 0, 2, 3


class Joey:
    """A bidirectional GRU, a GRU with Bahdanau's attention, and input feeding."""

    def __init__(self, vocab_size: int, size: int):
        symbols = SimpleNamespace(
            **{"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "sep_token": None},
            **{"unk_id": UNK, "pad_id": PAD, "bos_id": BOS, "eos_id": EOS, "lang_tags": []},
        )
        vocabulary = Vocabulary([f"w{index}" for index in range(vocab_size - 4)], symbols)
        common = {"type": "recurrent", "rnn_type": "gru", "hidden_size": size, "num_layers": 1, "dropout": 0.0}
        common["embeddings"] = {"embedding_dim": 256, "scale": False}
        decoder = {"input_feeding": True, "init_hidden": "bridge", "attention": "bahdanau", "hidden_dropout": 0.0}
        configuration = {"encoder": common | {"bidirectional": True}, "decoder": common | decoder}
        torch.manual_seed(0)
        self.model = build_model(configuration, vocabulary, vocabulary).eval()

    def __call__(self, sources: list[list[int]], num_beams: int, length: int) -> None:
        """Translate; each translation has exactly so many pieces."""
        lengths = torch.tensor([len(source) for source in sources])
        ids = torch.full((len(sources), int(lengths.max())), PAD)
        for row, source in zip(ids, sources, strict=True):
            row[: len(source)] = torch.tensor(source)
        where = {"indices": torch.arange(len(sources)), "device": torch.device("cpu")}
        nothing = {"src_prompt_mask": None, "trg": None, "trg_prompt_mask": None}
        special = {"pad_index": PAD, "eos_index": EOS, "is_train": False}
        batch = Batch(src=ids, src_length=lengths, **where, **nothing, **special)
        with torch.no_grad():
            search(
                self.model,
                batch,
                max_output_length=length,
                beam_size=num_beams,
                beam_alpha=1.0,
                min_output_length=length,
            )


class Transformer:
    """A Transformer of 3 + 3 layers of 256, the smallest usual size, with weights of eight bits."""

    def __init__(self, vocab_size: int, size: int = 256, layers: int = 3, heads: int = 4):
        spec, generator = TransformerSpec.from_config(layers, heads), np.random.default_rng(0)
        fill(spec, generator, size, vocab_size)
        pieces = ["<blank>", "<s>", "</s>", "<unk>"] + [f"w{index}" for index in range(vocab_size - 4)]
        spec.register_source_vocabulary(pieces)
        spec.register_target_vocabulary(pieces)
        spec.validate()
        spec.optimize(quantization="int8")
        self.folder = tempfile.TemporaryDirectory()
        spec.save(self.folder.name)
        self.translator = ctranslate2.Translator(self.folder.name, compute_type="int8", intra_threads=1)

    def __call__(self, sources: list[list[int]], num_beams: int, length: int) -> None:
        """Translate; each translation has exactly so many pieces."""
        pieces = [[f"w{index}" for index in source] for source in sources]
        self.translator.translate_batch(
            pieces, beam_size=num_beams, min_decoding_length=length, max_decoding_length=length
        )


def fill(spec: object, generator: np.random.Generator, size: int, vocab_size: int) -> None:
    """Give every layer of a Transformer random weights of the right shape."""

    def matrix(rows: int, columns: int) -> np.ndarray:
        return generator.normal(scale=columns**-0.5, size=(rows, columns)).astype(np.float32)

    def linear(layer: object, rows: int, columns: int) -> None:
        layer.weight, layer.bias = matrix(rows, columns), np.zeros(rows, np.float32)

    def norm(layer: object) -> None:
        layer.gamma, layer.beta = np.ones(size, np.float32), np.zeros(size, np.float32)

    def attention(layer: object, is_self: bool) -> None:
        shapes = [(3 * size, size), (size, size)] if is_self else [(size, size), (2 * size, size), (size, size)]
        for part, (rows, columns) in zip(layer.linear, shapes, strict=True):
            linear(part, rows, columns)
        norm(layer.layer_norm)

    encodings = generator.normal(size=(512, size)).astype(np.float32)
    for side in (spec.encoder, spec.decoder):
        embeddings = side.embeddings[0] if isinstance(side.embeddings, list) else side.embeddings
        embeddings.weight = matrix(vocab_size, size)
        side.position_encodings.encodings = encodings
        norm(side.layer_norm)
        for layer in side.layer:
            attention(layer.self_attention, True)
            if side is spec.decoder:
                attention(layer.attention, False)
            norm(layer.ffn.layer_norm)
            linear(layer.ffn.linear_0, 4 * size, size)
            linear(layer.ffn.linear_1, size, 4 * size)
    linear(spec.decoder.projection, vocab_size, size)


def main() -> None:
    """Answer cases: {"peer", "sources", "num_beams", "length"}."""
    torch.set_num_threads(1)
    setup = json.loads(sys.stdin.readline())
    peers = {"JoeyNMT": Joey(setup["vocab_size"], setup["size"]), "CTranslate2": Transformer(setup["vocab_size"])}
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        started = time.perf_counter()
        peers[case["peer"]](case["sources"], case["num_beams"], case["length"])
        print(json.dumps(time.perf_counter() - started), flush=True)


if __name__ == "__main__":
    main()

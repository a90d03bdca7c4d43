"""pyctcdecode with KenLM; see `benchmarks.peers`."""

import json
import sys
import time

import numpy as np
from pyctcdecode import build_ctcdecoder

NO_PRUNING = -1e30
"""As here: a beam is as wide as it is said to be."""


def main() -> None:
    """Answer cases: {"log_probabilities": path of (searches, steps, labels), "num_beams"}; first {"labels", "arpa"}."""
    setup = json.loads(sys.stdin.readline())
    decoder = build_ctcdecoder(setup["labels"], setup["arpa"], alpha=0.5, beta=1.5)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        numbers = np.load(case["log_probabilities"])
        started = time.perf_counter()
        for one in numbers:
            decoder.decode_beams(one, beam_width=case["num_beams"], beam_prune_logp=NO_PRUNING)
        print(json.dumps(time.perf_counter() - started), flush=True)


if __name__ == "__main__":
    main()

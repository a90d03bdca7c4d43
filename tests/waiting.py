"""Counts where the host would wait for a device, on a machine that has none."""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITS = (
    *("_local_scalar_dense", "item", "is_nonzero", "equal", "allclose", "nonzero", "masked_select"),
    *("resolve_conj", "unique", "_unique2", "unique_consecutive", "repeat_interleave"),
    *("lift_fresh", "where.ScalarOther", "where.ScalarSelf", "where.Scalar"),
)
"""Operations that need to know values of a tensor, or bring some, before they can return.

`resolve_conj` is what `tolist()` and `numpy()` begin with; `lift_fresh` ends `torch.tensor`, whose values come from the
host; and so does the number of `torch.where`.
"""


class Counted(TorchDispatchMode):
    """Counts what PyTorch runs, inside `inference_mode`: elsewhere some operations are in parts already."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket._qualified_op_name.removeprefix("aten::")
        self.calls[name] += 1
        self.calls[f"{name}.{function._overloadname}"] += 1
        places = args[1] if name in ("index", "index_put", "index_put_") else ()
        self.calls["masked_select"] += any(place is not None and place.dtype == torch.bool for place in places)
        return function(*args, **kwargs or {})

    @property
    def waits(self) -> int:
        """How often the host had to know a value before it could go on."""
        return sum(self.calls[name] for name in WAITS)

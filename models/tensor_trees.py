"""Values made of tensors: frozen dataclasses and tuples, such as a decoder's state.

What is neither a tensor, a tuple nor a dataclass (a number, None) is left as it is.
"""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from torch import Tensor

Tree = TypeVar("Tree")


def tensors_of(tree: Any) -> Iterator[Tensor]:
    """Yield the tensors of a value, always in the same order."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, tuple):
        for part in tree:
            yield from tensors_of(part)
    elif is_dataclass(tree):
        for field in fields(tree):
            yield from tensors_of(getattr(tree, field.name))


def mapped(tree: Tree, function: Callable[[Tensor], Tensor]) -> Tree:
    """Return a value with each tensor replaced by what a function makes of it."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, tuple):
        return tuple(mapped(part, function) for part in tree)
    if is_dataclass(tree):
        return replace(tree, **{field.name: mapped(getattr(tree, field.name), function) for field in fields(tree)})
    return tree


def copy_into(target: Any, source: Any) -> None:
    """Overwrite each tensor of a value with that of another one of the same shape."""
    for old, new in zip(tensors_of(target), tensors_of(source), strict=True):
        old.copy_(new)


def shapes_of(tree: Any) -> tuple:
    """Return shape, type and device of every tensor: two values that agree in it can be copied into each other."""
    return tuple((tuple(tensor.shape), tensor.dtype, tensor.device) for tensor in tensors_of(tree))

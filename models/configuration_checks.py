"""Checks that the families' configurations share."""


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")


def check_positive(name: str, value: int) -> None:
    """Refuse a size below 1."""
    if value < 1:
        raise ValueError(f"{name} must be at least 1; got {value}.")


def check_share(name: str, value: float) -> None:
    """Refuse a probability outside [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1; got {value}.")

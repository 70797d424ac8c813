"""What the writers of `crash_child` write."""

WRITERS, ITEMS, WIDTH = 3, 4, 2


def ids(writer: int) -> list[str]:
    """The items of one writer; each of its writes changes all of them."""
    return [f"{writer}-{item}" for item in range(ITEMS)]


def state(writer: int, number: int) -> tuple[str, tuple[float, float]] | None:
    """Title and vector of each item after a write; None where they were taken out, as before the first write (0)."""
    return (str(number), (float(writer), float(number))) if number % 5 else None

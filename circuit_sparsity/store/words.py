"""Bytes and seconds in words."""


def size_in_words(size: int | None) -> str:
    """Decimal units, as disks and downloads are sold.

    >>> size_in_words(642_319_670), size_in_words(812), size_in_words(None)
    ('642.3 MB', '812 B', 'size unknown')
    """
    if size is None:
        return "size unknown"
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def time_in_words(seconds: float | None) -> str:
    """
    >>> time_in_words(75.0), time_in_words(None)
    ('1 min 15 s', 'time unknown')
    """
    if seconds is None:
        return "time unknown"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"

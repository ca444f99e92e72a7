"""Markdown for Prefect's UI."""


def escaped(text: str) -> str:
    """Text that markdown shows as it is: document names and model errors are not ours."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()#+-.!|<>&" else c for c in text.replace("\n", " "))

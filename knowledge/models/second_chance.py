"""Asking a chat model once more, when its answer cannot be used."""

from openai.types.chat import ChatCompletionMessageParam

_LONGEST_ECHO = 4000


def second_chance(text: str, problem: str) -> tuple[ChatCompletionMessageParam, ...]:
    """What to say after the question: the answer, and what is wrong with it."""
    return (
        {"role": "assistant", "content": _echo(text) or "(nothing)"},
        {
            "role": "user",
            "content": f"That answer cannot be used as it is: {problem}. Answer again, with the whole JSON "
            "that follows the schema and nothing else.",
        },
    )


def _echo(text: str) -> str:
    """The beginning of an answer, as it can be sent: a model that rambles is not paid for reading all of it again."""
    return text[:_LONGEST_ECHO].encode("utf-8", "replace").decode()

"""HTML, parsed as browsers do: what a reader would see, block by block."""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from knowledge.readers.paragraphs import joined

_UNSEEN = frozenset(
    (
        *("head", "script", "style", "template", "noscript", "svg", "math", "iframe", "object", "embed", "canvas"),
        *("audio", "video", "map", "select", "datalist", "button", "input", "textarea", "nav"),
    )
)
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "br", "caption", "dd", "details", "dialog", "div"),
        *("dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6"),
        *("header", "hr", "html", "legend", "li", "main", "ol", "option", "p", "pre", "section", "summary"),
        *("table", "tbody", "tfoot", "thead", "tr", "ul"),
    )
)
_CELLS = frozenset({"td", "th"})
_WHITE_SPACE = re.compile(r"\s+")
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_LOOKED_AT = 4096


def text_of(data: bytes, name: str, max_bytes: int) -> str:
    """The text that is shown: its title, then blocks in their order; navigation, scripts and forms are left out."""
    tree = LexborHTMLParser(_decoded(data))
    title = tree.css_first("head > title")
    blocks = [] if title is None else [_WHITE_SPACE.sub(" ", title.text())]
    if tree.body is not None:
        blocks += _blocks(tree.body)
    shown = [block.strip() for block in blocks if block.strip()]
    # A title that the page repeats as its heading is said once.
    return joined(shown[1:] if len(shown) > 1 and shown[0] == shown[1] else shown)


def _decoded(data: bytes) -> str:
    """By its byte-order mark, as UTF-8, as the page says itself, or as Western European, which reads everything."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    declared = _CHARSET.search(data[:_LOOKED_AT])
    for encoding in ("utf-8-sig", declared.group(1).decode("ascii") if declared else "cp1252"):
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("cp1252", "replace")


def _blocks(body: LexborNode) -> Iterator[str]:
    """The texts of blocks in order. Walks without recursion: pages may be nested as deep as they like."""
    pieces: list[str] = []
    todo: list[LexborNode | str] = [body]
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            if node == "\n\n":
                yield "".join(pieces)
                pieces = []
            else:
                pieces.append(node)
            continue
        tag = node.tag or ""
        if tag == "-text":
            pieces.append(_WHITE_SPACE.sub(" ", node.text_content or ""))
        elif tag not in _UNSEEN and not tag.startswith(("-", "!", "_")):
            around = "\n\n" if tag in _BLOCKS else " " if tag in _CELLS else ""
            children = list(node.iter(include_text=True))
            todo += [around, *reversed(children), around] if around else [*reversed(children)]
    yield "".join(pieces)

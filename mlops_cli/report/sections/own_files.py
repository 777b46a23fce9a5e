"""Plots and other files that the training wrote itself: images are shown, others are named."""

from __future__ import annotations

import base64

from mlops_cli.report.context import ReportContext
from mlops_cli.report.formatting import count, escape

# Recognized by their first bytes, because a name proves nothing. In an image element no script of an SVG runs.
IMAGES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"<svg": "image/svg+xml",
    b"<?xml": "image/svg+xml",
}


def own_files(context: ReportContext) -> str:
    if not context.files:
        return ""
    images = {name: kind for name, content in context.files.items() if (kind := _image_kind(content))}
    figures = "".join(_figure(name, context.files[name] or b"", kind) for name, kind in images.items())
    listed = "".join(
        f"<li>{_file_description(name, content)}</li>" for name, content in context.files.items() if name not in images
    )
    return (
        '<section id="files"><h2>Files of the training</h2>'
        f'<div class="wide">{figures}</div>{f"<ul>{listed}</ul>" if listed else ""}</section>'
    )


def _image_kind(content: bytes | None) -> str:
    """Return the media type of an image; "" for other files."""
    head = (content or b"").lstrip(b"\xef\xbb\xbf \r\n\t")
    kind = next((kind for start, kind in IMAGES.items() if head.startswith(start)), "")
    return kind if kind != "image/svg+xml" or b"<svg" in head else ""


def _figure(name: str, content: bytes, kind: str) -> str:
    source = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    caption = escape(name)
    return f'<figure><img alt="{caption}" src="{source}"><figcaption>{caption}</figcaption></figure>'


def _file_description(name: str, content: bytes | None) -> str:
    return f"{escape(name)}, " + ("too large to be shown" if content is None else count(len(content), "byte"))

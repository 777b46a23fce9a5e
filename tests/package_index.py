"""Package indexes: a folder with a stranger's packages of any name, and a company's index with a credential."""

from __future__ import annotations

import base64
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WHEEL = "Wheel-Version: 1.0\nGenerator: somebody\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def taken_over(folder: Path, packages: Mapping[str, str]) -> str:
    """Return the address of a package index with these versions by a stranger."""
    write_packages(folder, packages, "raise SystemExit('taken over')\n")
    return folder.as_uri()


def write_packages(folder: Path, packages: Mapping[str, str], code: str) -> None:
    for name, version in packages.items():
        module, page = name.replace("-", "_"), folder / name
        file = f"{module}-{version}-py3-none-any.whl"
        page.mkdir(parents=True)
        with zipfile.ZipFile(page / file, "w") as archive:
            archive.writestr(f"{module}/__init__.py", code)
            description = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            archive.writestr(f"{module}-{version}.dist-info/METADATA", description)
            archive.writestr(f"{module}-{version}.dist-info/WHEEL", WHEEL)
            archive.writestr(f"{module}-{version}.dist-info/RECORD", "")
        (page / "index.html").write_text(f'<!DOCTYPE html><a href="{file}">{file}</a>')


@contextmanager
def private_index(folder: Path, status_of: Callable[[str], int]) -> Iterator[str]:
    """Serve the folder to everybody whose credential, USER:PASSWORD, has the status 200; yield the address."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            encoded = self.headers.get("Authorization", "").removeprefix("Basic ")
            status = status_of(base64.b64decode(encoded).decode()) if encoded else 401
            if status == 200:
                super().do_GET()
                return
            self.send_response(status)
            self.send_header("WWW-Authenticate", 'Basic realm="packages"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Print nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

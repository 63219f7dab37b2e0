"""Draw what a command prints as an SVG.

python tools/picture.py OUT.svg COLUMNS COMMAND…

The pictures in docs/images are made with it after `make demo`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text


def main(out: str, columns: str, *command: str) -> None:
    """Run `command` in a terminal of so many `columns` and write the picture to `out`."""
    environment = {**os.environ, "COLUMNS": columns, "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    printed = re.sub(r"file:///\S*/site-packages/", "file:///…/site-packages/", printed)
    printed = printed.replace(f"{Path.cwd()}/", "")  # where it was made says nothing
    console = Console(record=True, width=int(columns), file=open(os.devnull, "w"))  # noqa: SIM115 - until the end
    console.print(Text.from_ansi(printed))
    picture = console.export_svg(title="$ " + " ".join(command))
    # a picture that loads fonts from elsewhere tells others who looks at it
    Path(out).write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

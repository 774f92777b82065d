"""Draws the pictures of docs/networks.md: the network of digits.py as it begins, and with all edits and another head.

With --check, says whether they are up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from digits import EDITS, first_network, new_head
from generated_file import write_or_check_files

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"


def pictures() -> dict[Path, str]:
    """The drawings by path; no weights are in them, so nothing is trained."""
    network = edited = first_network()
    for _, edit in EDITS:
        edited = edit(edited)
    edited = new_head(edited)
    return {
        IMAGES / "network_before.svg": network.draw().text,
        IMAGES / "network_after.svg": edited.draw().text,
    }


if __name__ == "__main__":
    sys.exit(write_or_check_files(pictures))

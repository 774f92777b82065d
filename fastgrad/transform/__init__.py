"""From tape to tape: see README.md in this folder."""

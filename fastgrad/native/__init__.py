"""The machine that runs every tape, compiled once per computer: see README.md in this folder."""

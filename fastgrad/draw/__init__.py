"""Drawings of tapes; see the README beside this file."""

from fastgrad.draw.drawing import Drawing, draw

__all__ = ["Drawing", "draw"]

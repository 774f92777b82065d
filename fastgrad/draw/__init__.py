"""Drawings of tapes: see README.md in this folder."""

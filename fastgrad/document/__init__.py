"""Tapes for people: see README.md in this folder."""

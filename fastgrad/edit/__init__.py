"""Composing and editing tapes: see README.md in this folder."""

"""Machine code and C source for one tape: see README.md in this folder."""

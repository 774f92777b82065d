"""From a function to a tape: see README.md in this folder."""

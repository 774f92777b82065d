"""From a tape to what an executor runs: see README.md in this folder."""

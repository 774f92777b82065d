"""The virtual machine: compiled once per machine, it runs every tape. Start with ``README.md`` beside this file."""

"""Networks in files: the tape, the parameters as arrays beside it, and what else there is in the header."""

from __future__ import annotations

from fastgrad import files
from fastgrad.errors import FileFormatError
from fastgrad.files.container import Target
from fastgrad.nn.network import Network

__all__ = ["load", "save"]


def save(network: Network, target: Target) -> None:
    """See ``Network.save``."""
    metadata = {"network": {"frozen": sorted(network.frozen), "dropout": dict(network.dropout)}}
    files.write(target, network.tape, network.parameters, metadata)


def load(source: Target) -> Network:
    """The network in a file that ``Network.save`` wrote: a path, or a file opened for reading in binary.

    Nothing in the file is executed. Raises FileFormatError for a file that is damaged or holds no network.

    >>> from fastgrad import nn
    >>> import io
    >>> file = io.BytesIO()
    >>> nn.build(nn.Dense(3), 4).save(file)
    >>> _ = file.seek(0)
    >>> nn.load(file)
    <Network (4,) -> (3,), 15 parameters>
    """
    tape, parameters, metadata = files.read(source)
    about = metadata.get("network")
    if tape is None or not isinstance(about, dict):
        raise FileFormatError("this file holds no network. Write one with Network.save.")
    try:
        return Network(tape, parameters, frozenset(about["frozen"]), about["dropout"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(f"this file cannot be loaded: what it holds is no network ({error}).") from error

"""``check_recording``: what calls of a recorded function would get wrong."""

from fastgrad.checking.check import check_recording
from fastgrad.checking.report import Finding, RecordingReport

__all__ = ["Finding", "RecordingReport", "check_recording"]

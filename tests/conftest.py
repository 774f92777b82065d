"""``--tier native`` runs any tests with machine code in the place of the VM, compiled at once."""

from __future__ import annotations

import pytest

from fastgrad.config import TIERS, config


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tier", choices=TIERS, help="the default tier while tests run; native compiles everything")


def pytest_configure(config: pytest.Config) -> None:
    _set_tier(config.getoption("--tier"))


def _set_tier(tier: str | None) -> None:
    if tier is not None:
        config.tier = tier

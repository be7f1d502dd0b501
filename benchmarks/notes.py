"""Why a goal is not reached, and what was tried: what a profile says, by workload and figure."""

from __future__ import annotations

__all__ = ["NOTES"]

NOTES: dict[tuple[str, str], str] = {}

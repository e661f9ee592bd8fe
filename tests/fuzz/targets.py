"""All targets, by name."""

from tests.fuzz import sent, stored

TARGETS = {target.name: target for target in (*stored.TARGETS, *sent.TARGETS)}

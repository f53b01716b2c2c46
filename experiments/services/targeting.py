"""What a running experiment does when its flag is changed beneath it: another targeting is another phase.

Rules, targets and prerequisites decide who comes to the experiment at all. Once they change, users before and after are
different people, and pooling them would compare mixtures. On, off, kill and release are no new phase: while the flag is
off nobody is exposed, and afterwards the same people come back to the same variants; results say so as a caveat.
"""

from typing import Any

from audit.actors import Actor
from experiments.services.lifecycle import open_next_phase
from flags.models import FlagConfig

_TARGETING = ("targets", "rules", "prerequisites")


def follow_flag(*, config: FlagConfig, actor: Actor, before: dict[str, Any], after: dict[str, Any], **_: Any) -> None:
    """Open a phase where the targeting differs; in the transaction of the flag's change."""
    changed = [name for name in _TARGETING if _meaning(before[name]) != _meaning(after[name])]
    if changed and config.experiment:
        open_next_phase(
            actor=actor,
            environment=config.environment,
            pk=config.experiment["id"],
            # Before this moment the flag's old document was in force; its change is logged after it.
            moment=config.updated_at,
            reason=f"The flag's {' and '.join(changed)} changed.",
        )


def _meaning(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what decides about nobody: a rule's name and id, and the very numbers that order the rules."""
    return [{name: value for name, value in part.items() if name not in {"id", "name", "priority"}} for part in parts]

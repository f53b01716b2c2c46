"""What is done to flags, segments, layers, version logs, signing keys and code references."""

from typing import TypedDict

from audit.actions import Action, Document, register


class KillSwitchState(TypedDict):
    killSwitchVariant: str | None
    killedAt: str | None
    killReason: str


class PurgedFlag(TypedDict):
    """What a flag was in its project; its configurations are in the version log."""

    key: str
    type: str
    variants: list[dict[str, object]]
    name: str
    description: str
    tags: list[str]
    owner: str | None
    team: str | None
    kind: str | None
    permanent: bool | None
    expectedEnd: str | None
    links: list[dict[str, str]]


class FlagReminder(TypedDict):
    """Why whoever looks after a flag is reminded of it. `stage` and `reasons` are those of its lifecycle."""

    stage: str
    expectedEnd: str | None
    owner: str | None
    team: str | None
    reasons: list[str]


class PrunedLog(TypedDict, total=False):
    """`floor` is the first version that is complete from there on; `steps` is how many were deleted."""

    floor: int
    steps: int


class SigningKeyState(TypedDict):
    generation: int
    isPreviousValid: bool


class ScannedCode(TypedDict, total=False):
    """A branch's totals. `gone` names flags whose last reference there is gone, at most 100 of them."""

    repository: str
    branch: str
    isDefault: bool
    flags: int
    references: int
    gone: list[str]


_FLAG = Document("Flag")
_SEGMENT = Document("Segment")
_LAYER = Document("Layer")

register(
    Action("flag.created", "Flag created", "a flag was made", _FLAG),
    Action("flag.updated", "Flag changed", "a flag's configuration or its shared fields changed", _FLAG),
    Action("flag.archived", "Flag archived", "a flag is no longer served", _FLAG, tone="warning"),
    Action("flag.restored", "Flag restored", "an archived flag is served again", _FLAG),
    Action(
        "flag.killed",
        "Flag killed",
        "the kill switch was pressed",
        KillSwitchState,
        tone="danger",
        remedy="Everybody gets one variant now. Release the kill switch on the flag's page once the reason is gone.",
    ),
    Action("flag.released", "Flag released", "the kill switch was released", KillSwitchState, tone="success"),
    Action(
        "flag.rolled_back",
        "Flag rolled back",
        "an earlier version of a flag was made current again, as a new version",
        _FLAG,
    ),
    Action("flag.copied", "Flag copied", "a flag's configuration was copied from another environment", _FLAG),
    Action("flag.imported", "Flag imported", "a flag came in with an import", _FLAG),
    Action("flag.purged", "Flag deleted for good", "a flag archived long ago was deleted for good", PurgedFlag),
    Action(
        "flag.reminded",
        "Flag wants attention",
        "a flag is past its expected end or ready to archive; at most once a week a flag",
        FlagReminder,
        tone="warning",
        remedy="Archive it, or say on its page that it is permanent, or give it another expected end.",
    ),
    Action("segment.created", "Segment created", "a segment was made", _SEGMENT),
    Action("segment.updated", "Segment changed", "a segment changed", _SEGMENT),
    Action("segment.deleted", "Segment deleted", "an unused segment was deleted", _SEGMENT),
    Action("layer.created", "Layer created", "a layer was made", _LAYER),
    Action("layer.updated", "Layer changed", "a layer was renamed, or its holdout set", _LAYER),
    Action("layer.deleted", "Layer deleted", "an unused layer was deleted", _LAYER),
    Action(
        "version_log.pruned",
        "Version log pruned",
        "an environment's version log lost the steps below a floor",
        PrunedLog,
        entity="environment",
    ),
    Action(
        "signing_key.rotated",
        "Signing key rotated",
        "an environment's snapshots are signed with a new secret; the one before it still holds beside it",
        SigningKeyState,
    ),
    Action(
        "signing_key.retired",
        "Signing key retired",
        "the secret before the current one signs no more",
        SigningKeyState,
    ),
    Action(
        "references.scanned",
        "Code scanned",
        "a scan of a repository found other references to flags than before",
        ScannedCode,
    ),
    Action(
        "references.forgotten",
        "Scanned code forgotten",
        "a scanned branch was forgotten, with the references there",
        ScannedCode,
    ),
)

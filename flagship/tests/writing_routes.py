"""Each route that takes something: what of it changes what is served, or who is enrolled, and what does not."""

HALF = [{"variant": "treatment", "percent": 50}]
WHOLE = {
    "enabled": False,
    "version": 2,
    "variants": [{"key": "control", "value": False}, {"key": "treatment", "value": True}],
}
RELEASED = {"variant": "treatment", "template": "daily", "reason": "tried"}
IMPORTED = {"data": {"format": "flagship", "formatVersion": 1, "segments": [{"key": "imported", "included": ["u"]}]}}
# Each route that changes what is served: what is sent to it, and with which body.
SERVING = {
    ("post", "flags"): ("flags", {"key": "new"}),
    ("put", "flags/{key}"): ("flags/a", WHOLE),
    ("patch", "flags/{key}"): ("flags/a", {"enabled": False, "version": 2}),
    ("delete", "flags/{key}"): ("flags/a", None),
    ("post", "flags/{key}/restore"): ("flags/gone/restore", {}),
    ("post", "flags/{key}/rollback"): ("flags/a/rollback", {"version": 1}),
    ("post", "flags/{key}/copy"): ("flags/a/copy", {"to": "staging"}),
    ("post", "flags/{key}/kill/release"): ("flags/killed/kill/release", {}),
    ("post", "kill/release"): ("kill/release", {"tag": "pay"}),
    ("post", "segments"): ("segments", {"key": "t", "included": ["u"]}),
    ("put", "segments/{key}"): ("segments/s", {"included": ["v"], "version": 1}),
    ("patch", "segments/{key}"): ("segments/s", {"included": ["v"], "version": 1}),
    ("delete", "segments/{key}"): ("segments/s", None),
    ("patch", "environments/{key}"): ("environments/production", {"exposures": "experiments", "version": 1}),
    ("post", "environments/{key}/import"): ("environments/production/import", IMPORTED),
    ("patch", "experiments/{pk}"): ("experiments/running", {"trafficPercent": 60, "version": 2}),
    ("put", "experiments/{pk}"): ("experiments/running", {"name": "running", "trafficPercent": 60, "version": 2}),
    ("post", "experiments/{pk}/start"): ("experiments/draft/start", {}),
    ("post", "experiments/{pk}/resume"): ("experiments/paused/resume", {}),
    ("post", "experiments/{pk}/restart"): ("experiments/running/restart", {}),
    ("post", "experiments/{pk}/complete"): ("experiments/running/complete", {"decision": "stop"}),
    ("post", "experiments/{pk}/release"): ("experiments/running/release", RELEASED),
    ("post", "flags/{key}/rollout-plan/start"): ("flags/planned/rollout-plan/start", {}),
    ("post", "flags/{key}/rollout-plan/advance"): ("flags/stepped/rollout-plan/advance", {}),
    ("post", "flags/{key}/rollout-plan/resume"): ("flags/returned/rollout-plan/resume", {}),
}  # fmt: skip
# What of it gives nobody another variant, so that a policy that asks by impact lets it through.
UNMOVING = {
    ("post", "flags"): "It is off.",
    ("post", "segments"): "No flag asks for it.",
    **{(verb, "segments/{key}"): "No flag asks for it." for verb in ("put", "patch", "delete")},
    ("patch", "environments/{key}"): "It says what is logged.",
    ("post", "environments/{key}/import"): "It has a segment that no flag asks for.",
    **{(verb, "experiments/{pk}"): "Whom it enrols the rollout gives the same." for verb in ("put", "patch")},
    **{("post", f"experiments/{{pk}}/{act}"): "The rollout gives the same." for act in ("start", "resume", "complete")},
}
# What decides who is enrolled, and is in no document.
ENROLLING = {
    ("post", "layers"): ("layers", {"key": "new"}),
    ("patch", "layers/{key}"): ("layers/l", {"holdoutPercent": 5, "version": 1}),
    ("delete", "layers/{key}"): ("layers/l", None),
    ("put", "metrics/{key}"): ("metrics/m", {"name": "M", "type": "binary", "eventName": "other", "version": 1}),
    ("patch", "metrics/{key}"): ("metrics/m", {"eventName": "other", "version": 1}),
}
# Nothing asks before these.
EXEMPT = {
    ("post", "flags/{key}/kill"): ("flags/a/kill", {}),
    ("post", "kill"): ("kill", {"tag": "pay"}),
    ("post", "experiments/{pk}/pause"): ("experiments/running/pause", {}),
    ("post", "flags/{key}/rollout-plan/rollback"): ("flags/stepped/rollout-plan/rollback", {}),
}
# Every other route that takes something. Whoever adds one says here, or above, what it is; both are tried.
UNSERVING = """
delete credentials/{credential_id} · delete credentials/{credential_id}/environments/{project}/{environment}
delete environments/{environment_key}/signing-keys · delete environments/{key} · delete experiments/{pk}
delete follows/{follow_id} · delete freezes/{freeze_id} · delete members/{member_id} · delete metrics/{key}
delete notification-settings/{channel} · delete organizations/{slug} · delete orgs/{slug} · delete projects/{key}
delete service-accounts/{client_id} · delete webhooks/{webhook_id} · patch change-requests/{request_id}
patch freezes/{freeze_id} · patch members/{member_id} · patch organizations/{slug} · patch orgs/{slug}
patch projects/{key} · patch webhooks/{webhook_id} · post auth/token · post change-requests
post change-requests/{request_id}/approve · post change-requests/{request_id}/cancel
post change-requests/{request_id}/comment · post change-requests/{request_id}/emergency-publish
post change-requests/{request_id}/object · post change-requests/{request_id}/publish
post change-requests/{request_id}/rebase · post change-requests/{request_id}/revert · post credentials
post environments · post environments/{environment_key}/signing-keys · post evaluate · post evaluate/preview
post events/conversion · post events/exposure · post events/metrics · post events/usage · post experiments
post experiments/power · post experiments/{pk}/impact · post flags/evaluate · post flags/evaluate/all
post flags/evaluate/preview · post flags/{key}/impact · post flags/{key}/publish · post flags/{key}/purge · post follows
post freezes · post members · post metrics · post ofrep/v1/evaluate/flags · post ofrep/v1/evaluate/flags/{key}
post organizations · post orgs · post privacy/erase · post privacy/export · post projects · post service-accounts
post stream/ack · post webhooks · post webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver
post webhooks/{webhook_id}/redeliver · post webhooks/{webhook_id}/rotate-secret · post webhooks/{webhook_id}/test
put credentials/{credential_id}/environments/{project}/{environment} · put environments/{key}/policy
put notification-settings/{channel} · put webhooks/{webhook_id} · delete references · put references
put flags/{key}/references · delete flags/{key}/rollout-plan · delete rollout-templates/{key}
delete scheduled-changes/{change_id} · delete triggers/{trigger_id} · patch scheduled-changes/{change_id}
patch triggers/{trigger_id} · post flags/{key}/rollout-plan/cancel · post flags/{key}/rollout-plan/hold
post rollout-templates · post scheduled-changes · post triggers · post triggers/{token} · put flags/{key}/rollout-plan
put rollout-templates/{key}
"""

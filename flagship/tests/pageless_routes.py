"""Routes of the console without a page, and templates that no page shows, each with its reason."""

# Routes that have no page, and why. Whatever is not here has one, and is looked at.
_SCRIPTED = "what a page's script asks for"
_FILE = "a file"
_FORM = "takes a form alone"
NO_PAGE = {
    "admin:search": "our own search answers at that address",
    "admin:login": "for whoever is not signed in; it has a test of its own",
    "admin:logout": _FORM,
    "admin:autocomplete": "no list of ours asks it",
    "admin:jsi18n": "a script",
    "admin:view_on_site": "nothing has an address outside the console",
    "console_session": _SCRIPTED,
    "console_search": _SCRIPTED,
    "console_view_save": _FORM,
    "console_view_forget": _FORM,
    "admin:audit_entry_export": _FILE,
    "admin:audit_entry_add": "the log is written by what is done",
    "admin:audit_entry_delete": "the log is for good",
    "admin:experiments_experiment_export": _FILE,
    "admin:experiments_experiment_stored_export": _FILE,
    "admin:experiments_experiment_chart": _FILE,
    "admin:experiments_experiment_stored_chart": _FILE,
    "admin:experiments_experiment_plan": _SCRIPTED,
    "admin:flags_flagconfig_export": _FILE,
    "admin:flags_flagconfig_attributes": _SCRIPTED,
    "admin:flags_flagconfig_preview_new": _SCRIPTED,
    "admin:flags_flagconfig_preview": _SCRIPTED,
    "admin:flags_flagconfig_affected_users": _SCRIPTED,
    "admin:flags_flagconfig_exposures": _SCRIPTED,
    "admin:flags_flagconfig_usage": _SCRIPTED,
    "admin:flags_flagconfig_try_draft": _SCRIPTED,
    "admin:flags_flagconfig_kill_many": _FORM,
    "admin:flags_flagconfig_release_many": _FORM,
    "admin:flags_flagconfig_archive_many": _FORM,
    "admin:flags_flagconfig_switch_on_many": _FORM,
    "admin:flags_flagconfig_switch_off_many": _FORM,
    "admin:flags_flagconfig_tag_many": _FORM,
    "admin:flags_flagconfig_copy_many": _FORM,
    "admin:flags_flagconfig_delete": "a flag is archived",
    "admin:flags_segment_preview": _SCRIPTED,
    "admin:tenancy_credential_delete": "a key is revoked",
    "admin:tenancy_credential_secret": "shown once, after it was made",
    "admin:tenancy_membership_delete": "a role is taken away",
    "admin:tenancy_privacyjob_delete": "a job is kept, as what it did is",
    "admin:tenancy_privacyjob_file": _FILE,
    "admin:integrations_follow_change": "leads to the list",
    "admin:integrations_notification_change": "leads to the event",
    "admin:integrations_notification_add": "the log's rows make it",
    "admin:integrations_notification_delete": "it is marked as read",
    "admin:integrations_notification_read": _FORM,
    "admin:integrations_webhookendpoint_secret": "shown once, after it was made",
    "admin:integrations_webhookendpoint_test": _FORM,
    "admin:integrations_webhookdelivery_add": "a worker writes it",
    "admin:integrations_webhookdelivery_delete": "it goes after 30 days",
    "admin:integrations_webhookdelivery_redeliver": _FORM,
    "admin:tenancy_organization_add": "whoever runs the installation makes it",
    "admin:tenancy_organization_delete": "whoever runs the installation removes it",
    **{
        f"admin:{model}_history": "the audit log has it"
        for model in (
            "audit_entry", "experiments_experiment", "experiments_metric", "flags_layer", "flags_segment",
            "integrations_follow", "integrations_notification", "integrations_webhookdelivery",
            "integrations_webhookendpoint", "tenancy_credential",
            "tenancy_environment", "tenancy_membership", "tenancy_organization", "tenancy_privacyjob",
            "tenancy_project", "tenancy_serviceaccount",
        )
    },
}  # fmt: skip
# Templates that no page or state below shows, and where they are looked at.
_PARTS = ["affected_users", "affected_moves", "move", "preview", "exposures", "usage", "used_by"]
ELSEWHERE = {
    "admin/login.html": "test_pages_in_browser, signed out",
    "console/error_alone.html": "test_error_pages, without a person",
    "drf_spectacular/swagger_ui.html": "Swagger UI draws it",
    "experiments/plan.html": "fetched into the designer",
    "flags/bulk.html": "test_long_acts_in_browser",
    "flags/bulk_part.html": "test_long_acts_in_browser",
    "flags/archive_used.html": "asks before a flag is archived that is evaluated",
    **dict.fromkeys((f"flags/{part}.html" for part in _PARTS), "fetched into a flag's page"),
    "flags/segment_preview.html": "fetched into a segment's page",
}

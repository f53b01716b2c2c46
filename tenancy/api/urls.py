"""Routes below `/api/` and `/v1/`; no trailing slash."""

from django.urls import path

from tenancy.api import audit, auth, members, organizations, privacy

urlpatterns = [
    path("auth/token", auth.TokenView.as_view()),
    path("organizations", organizations.OrganizationsView.as_view()),
    path("organizations/<str:slug>", organizations.OrganizationView.as_view()),
    path("orgs", organizations.OrganizationsView.as_view()),
    path("orgs/<str:slug>", organizations.OrganizationView.as_view()),
    path("projects", organizations.ProjectsView.as_view()),
    path("projects/<str:key>", organizations.ProjectView.as_view()),
    path("environments", organizations.EnvironmentsView.as_view()),
    path("environments/<str:key>", organizations.EnvironmentDetailView.as_view()),
    path("members", members.MembersView.as_view()),
    path("members/<int:member_id>", members.MemberView.as_view()),
    path("service-accounts", members.ServiceAccountsView.as_view()),
    path("service-accounts/<str:client_id>", members.ServiceAccountView.as_view()),
    path("credentials", members.CredentialsView.as_view()),
    path("credentials/<uuid:credential_id>", members.CredentialView.as_view()),
    path(
        "credentials/<uuid:credential_id>/environments/<str:project>/<str:environment>",
        members.CredentialEnvironmentView.as_view(),
    ),
    path("audit", audit.AuditView.as_view()),
    path("audit/export", audit.AuditExportView.as_view()),
    path("privacy/erase", privacy.EraseView.as_view()),
    path("privacy/export", privacy.ExportView.as_view()),
    path("privacy/jobs", privacy.PrivacyJobsView.as_view()),
    path("privacy/jobs/<uuid:job_id>", privacy.PrivacyJobView.as_view()),
    path("privacy/jobs/<uuid:job_id>/file", privacy.PrivacyFileView.as_view()),
]

"""Routes below `/api/` and `/v1/`; no trailing slash."""

from django.urls import path

from approvals.api import aliases, change_requests, policies

urlpatterns = [
    path("environments/<str:key>/policy", policies.PolicyView.as_view()),
    path("flags/<str:key>/publish", aliases.PublishFlagView.as_view()),
    path("freezes", policies.FreezesView.as_view()),
    path("freezes/<uuid:freeze_id>", policies.FreezeView.as_view()),
    path("change-requests", change_requests.ChangeRequestsView.as_view()),
    path("change-requests/<uuid:request_id>", change_requests.ChangeRequestView.as_view()),
    path("change-requests/<uuid:request_id>/approve", change_requests.ApproveView.as_view()),
    path("change-requests/<uuid:request_id>/object", change_requests.ObjectView.as_view()),
    path("change-requests/<uuid:request_id>/comment", change_requests.CommentView.as_view()),
    path("change-requests/<uuid:request_id>/publish", change_requests.PublishView.as_view()),
    path("change-requests/<uuid:request_id>/emergency-publish", change_requests.EmergencyPublishView.as_view()),
    path("change-requests/<uuid:request_id>/cancel", change_requests.CancelView.as_view()),
    path("change-requests/<uuid:request_id>/rebase", change_requests.RebaseView.as_view()),
    path("change-requests/<uuid:request_id>/revert", change_requests.RevertView.as_view()),
]

"""Routes below `/api/` and `/v1/`; no trailing slash."""

from django.urls import path

from rollouts.api import plans, schedules, templates, triggers

urlpatterns = [
    path("flags/<str:key>/rollout-plan", plans.RolloutPlanView.as_view()),
    path("flags/<str:key>/rollout-plan/start", plans.StartPlanView.as_view()),
    path("flags/<str:key>/rollout-plan/hold", plans.HoldPlanView.as_view()),
    path("flags/<str:key>/rollout-plan/resume", plans.ResumePlanView.as_view()),
    path("flags/<str:key>/rollout-plan/advance", plans.AdvancePlanView.as_view()),
    path("flags/<str:key>/rollout-plan/rollback", plans.RollbackPlanView.as_view()),
    path("flags/<str:key>/rollout-plan/cancel", plans.CancelPlanView.as_view()),
    path("rollout-plans", plans.RolloutPlansView.as_view()),
    path("experiments/<str:pk>/release", plans.ReleaseView.as_view()),
    path("rollout-templates", templates.RolloutTemplatesView.as_view()),
    path("rollout-templates/<str:key>", templates.RolloutTemplateView.as_view()),
    path("scheduled-changes", schedules.ScheduledChangesView.as_view()),
    path("scheduled-changes/<uuid:change_id>", schedules.ScheduledChangeView.as_view()),
    path("triggers", triggers.TriggersView.as_view()),
    path("triggers/<uuid:trigger_id>", triggers.TriggerView.as_view()),
    path("triggers/<str:token>", triggers.TriggerCallView.as_view()),
]

"""Routes of experiments, metrics, power and a flag's exposures, relative to the API's root; no trailing slash."""

from django.urls import path

from experiments.api import exposures, views

urlpatterns = [
    path("flags/<str:key>/exposures", exposures.FlagExposuresView.as_view()),
    path("metrics", views.MetricsView.as_view()),
    path("metrics/<str:key>", views.MetricView.as_view()),
    path("experiments", views.ExperimentsView.as_view()),
    path("experiments/power", views.PowerView.as_view()),
    path("experiments/<str:pk>", views.ExperimentView.as_view()),
    path("experiments/<str:pk>/preflight", views.PreflightView.as_view()),
    path("experiments/<str:pk>/impact", views.ImpactView.as_view()),
    path("experiments/<str:pk>/start", views.StartView.as_view()),
    path("experiments/<str:pk>/pause", views.PauseView.as_view()),
    path("experiments/<str:pk>/resume", views.ResumeView.as_view()),
    path("experiments/<str:pk>/restart", views.RestartView.as_view()),
    path("experiments/<str:pk>/complete", views.CompleteView.as_view()),
    path("experiments/<str:pk>/phases", views.PhasesView.as_view()),
    path("experiments/<str:pk>/results", views.ResultsView.as_view()),
    path("experiments/<str:pk>/results/history", views.StoredResultsView.as_view()),
    path("experiments/<str:pk>/results/history/<str:result>", views.StoredResultView.as_view()),
]

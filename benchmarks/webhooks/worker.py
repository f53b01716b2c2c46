"""A Celery worker as in production, but for its patience: pauses and time-outs are a tenth, so that a run ends."""

import sys

import django

from flagship.celery import app

if __name__ == "__main__":
    django.setup()
    if "--hurried" in sys.argv:
        from integrations.outside import calls
        from integrations.webhooks import delivery

        calls.SECONDS, delivery.FIRST_PAUSE_SECONDS, delivery.LONGEST_PAUSE_SECONDS = 0.5, 0.05, 0.5
    app.worker_main(["worker", "--concurrency=2", "--loglevel=CRITICAL", "--without-gossip", "--without-mingle"])

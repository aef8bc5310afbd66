"""Celery entry point and one task file per queue."""

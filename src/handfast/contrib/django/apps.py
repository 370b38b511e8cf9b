"""What Django reads of an installed application."""

from __future__ import annotations

from django.apps import AppConfig


class HandfastConfig(AppConfig):
    """Under a label that no project has of its own."""

    name = "handfast.contrib.django"
    label = "handfast"

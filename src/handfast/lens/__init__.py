"""Lenses: functions of a connection's events. None is known to the engine; each turns the one story into one view."""

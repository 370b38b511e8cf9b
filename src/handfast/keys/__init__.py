"""The key schedules: from shared secrets to traffic keys and exporters."""

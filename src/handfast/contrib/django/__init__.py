"""Django's development server over TLS: ``handfast.contrib.django`` in INSTALLED_APPS adds ``runserver_tls``."""

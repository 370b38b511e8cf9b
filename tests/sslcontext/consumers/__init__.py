"""Libraries and servers that take an ``ssl.SSLContext``, each given ours: run by ``test_consumers``, one per process."""

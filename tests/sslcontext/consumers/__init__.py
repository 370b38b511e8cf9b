"""Libraries and servers that take an ``ssl.SSLContext``, given ours: run by ``test_consumers``, one per process."""

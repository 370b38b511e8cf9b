"""``handfast connect`` against real servers, with STARTTLS and with HTTP/2: ``make starttls``."""

"""From a presented chain to a trusted root: which way, by which rules, and why there is none. RFC 5280 6."""

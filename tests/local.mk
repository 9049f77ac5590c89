# A new test is a file and a line. Unit: one module. Flow: real sessions against scripted peers. System: real servers, started by the test.
check_LIBRARIES += tests/lib/libtest.a
tests_lib_libtest_a_SOURCES = \
	tests/lib/agent.c \
	tests/lib/agent.h \
	tests/lib/certificate.c \
	tests/lib/certificate.h \
	tests/lib/delivery.c \
	tests/lib/delivery.h \
	tests/lib/imap-fixture.c \
	tests/lib/imap-fixture.h \
	tests/lib/peer.c \
	tests/lib/peer.h \
	tests/lib/pop3-fixture.c \
	tests/lib/pop3-fixture.h \
	tests/lib/scene.c \
	tests/lib/scene.h \
	tests/lib/smtp-fixture.c \
	tests/lib/smtp-fixture.h \
	tests/lib/warp-prepare.c \
	tests/lib/warp.h \
	tests/lib/watch-fixture.c \
	tests/lib/watch-fixture.h

UNIT_TESTS = \
	tests/unit/test-address \
	tests/unit/test-allowance \
	tests/unit/test-backoff \
	tests/unit/test-base64 \
	tests/unit/test-buffer \
	tests/unit/test-channel \
	tests/unit/test-clock \
	tests/unit/test-config \
	tests/unit/test-doubt \
	tests/unit/test-envelope \
	tests/unit/test-error \
	tests/unit/test-header \
	tests/unit/test-health \
	tests/unit/test-held \
	tests/unit/test-idle \
	tests/unit/test-imap-parse \
	tests/unit/test-job \
	tests/unit/test-lines \
	tests/unit/test-log \
	tests/unit/test-maildir-adopt \
	tests/unit/test-maildir \
	tests/unit/test-mem \
	tests/unit/test-message \
	tests/unit/test-mutf7 \
	tests/unit/test-outlook \
	tests/unit/test-pace \
	tests/unit/test-peer \
	tests/unit/test-policy \
	tests/unit/test-pop3-reply \
	tests/unit/test-prints \
	tests/unit/test-received \
	tests/unit/test-record \
	tests/unit/test-refusal \
	tests/unit/test-renumbering \
	tests/unit/test-sasl \
	tests/unit/test-schedule \
	tests/unit/test-schema \
	tests/unit/test-seal \
	tests/unit/test-secret \
	tests/unit/test-smtp-reply \
	tests/unit/test-smtp-window \
	tests/unit/test-spool \
	tests/unit/test-stage \
	tests/unit/test-state-apply \
	tests/unit/test-state-clock \
	tests/unit/test-state-damage \
	tests/unit/test-state-facts \
	tests/unit/test-state-known \
	tests/unit/test-state-mailbox \
	tests/unit/test-state-marker \
	tests/unit/test-state-match \
	tests/unit/test-state-plan \
	tests/unit/test-state-refetch \
	tests/unit/test-state-refused \
	tests/unit/test-state-reserve \
	tests/unit/test-state-retention \
	tests/unit/test-state-reuse \
	tests/unit/test-state-shrink \
	tests/unit/test-state-text \
	tests/unit/test-state-upgrade \
	tests/unit/test-state \
	tests/unit/test-str \
	tests/unit/test-stream \
	tests/unit/test-tls \
	tests/unit/test-utf8 \
	tests/unit/test-wire \
	tests/unit/test-yaml

FLOW_TESTS = \
	tests/flow/test-ahead \
	tests/flow/test-listing-ahead \
	tests/flow/test-attendant \
	tests/flow/test-connectors \
	tests/flow/test-begun \
	tests/flow/test-control \
	tests/flow/test-credential \
	tests/flow/test-decisions \
	tests/flow/test-dead-maildir \
	tests/flow/test-destinations \
	tests/flow/test-full-disk \
	tests/flow/test-herald \
	tests/flow/test-hour \
	tests/flow/test-identity \
	tests/flow/test-imap-dispose \
	tests/flow/test-imap-fetch \
	tests/flow/test-imap-glance \
	tests/flow/test-imap-idle \
	tests/flow/test-imap-notify \
	tests/flow/test-imap \
	tests/flow/test-leave \
	tests/flow/test-mda \
	tests/flow/test-on-refuse \
	tests/flow/test-poison \
	tests/flow/test-pop3-transfer \
	tests/flow/test-pop3 \
	tests/flow/test-push \
	tests/flow/test-sentries \
	tests/flow/test-retention \
	tests/flow/test-session \
	tests/flow/test-smtp-session \
	tests/flow/test-smtp-window \
	tests/flow/test-smtp-woken \
	tests/flow/test-smtp \
	tests/flow/test-state-lost \
	tests/flow/test-suspend \
	tests/flow/test-two-at-once \
	tests/flow/test-uidl-reuse \
	tests/flow/test-unkillable

SYSTEM_TESTS = \
	tests/system/test-after-delivery.sh \
	tests/system/test-apart.sh \
	tests/system/test-busy-folder.sh \
	tests/system/test-commands.sh \
	tests/system/test-daemon.sh \
	tests/system/test-folders.sh \
	tests/system/test-lmtp.sh \
	tests/system/test-maildir.sh \
	tests/system/test-mda.sh \
	tests/system/test-passwords.sh \
	tests/system/test-poison.sh \
	tests/system/test-push.sh \
	tests/system/test-refusals.sh \
	tests/system/test-round-trips.sh \
	tests/system/test-service.sh \
	tests/system/test-smtp-distant.sh \
	tests/system/test-smtp.sh

# Hauls broken at every step: make check tries a selection of places, make soak all of them.
FAULT_TESTS = \
	tests/fault/test-dot-window.sh \
	tests/fault/test-faults.sh
fault_programs = tests/fault/inject tests/fault/file-mail
tests_fault_inject_SOURCES = \
	tests/fault/call.c \
	tests/fault/call.h \
	tests/fault/fault.c \
	tests/fault/fault.h \
	tests/fault/inject.c \
	tests/fault/process.c \
	tests/fault/process.h \
	tests/fault/shadow.c \
	tests/fault/shadow.h \
	tests/fault/sync-rule.c \
	tests/fault/sync-rule.h
tests_fault_inject_LDADD =
tests_fault_file_mail_SOURCES = tests/fault/file-mail.c
tests_fault_file_mail_LDADD =

# Read by tests, or run by hand.
TEST_FILES = \
	tests/bench/account.py \
	tests/bench/bench.py \
	tests/bench/bench.sh \
	tests/bench/chunking-sink.py \
	tests/bench/idle-server.py \
	tests/bench/make-mailbox.py \
	tests/bench/measure-push.sh \
	tests/bench/measure.sh \
	tests/bench/programs.py \
	tests/bench/push.py \
	tests/bench/read-calls.py \
	tests/bench/report.py \
	tests/bench/rows.py \
	tests/bench/watch-calls.c \
	tests/bench/watch-memory.py \
	tests/fault/bench.py \
	tests/fault/compare-peers.sh \
	tests/fault/compare_peers.py \
	tests/fault/dot_window.py \
	tests/fault/fault-programs.sh \
	tests/fault/faults.py \
	tests/fault/haul.py \
	tests/fault/imap_server.py \
	tests/fault/messages.py \
	tests/fault/mutations.sh \
	tests/fault/pop3_server.py \
	tests/fault/power_cut.py \
	tests/fault/run_faults.py \
	tests/fault/servers.py \
	tests/fault/sink_server.py \
	tests/fault/wire.py \
	tests/fault/world.py \
	tests/lib/as-service.py \
	tests/lib/notify-listener.py \
	tests/lib/certificates.sh \
	tests/lib/compare-messages.py \
	tests/lib/count-round-trips.py \
	tests/lib/distant.py \
	tests/lib/dovecot.sh \
	tests/lib/fetch-messages.py \
	tests/lib/busy-imap.py \
	tests/lib/halting-pop3.py \
	tests/lib/hauling.sh \
	tests/lib/make-messages.py \
	tests/lib/postfix.sh \
	tests/lib/run-test.sh \
	tests/lib/search-memory.py \
	tests/lib/system.sh \
	tests/unit/state-fixture.h
EXTRA_DIST += $(TEST_FILES) $(FAULT_TESTS) $(SYSTEM_TESTS)

LDADD = tests/lib/libtest.a src/libmailhaul.a $(TESTING_LIBS) $(LIBRARIES_USED)

if HAVE_TEST_LIBRARIES
check_PROGRAMS += $(UNIT_TESTS) $(FLOW_TESTS) $(fault_programs)
# What takes longest begins first.
TESTS += $(FAULT_TESTS) $(UNIT_TESTS) $(FLOW_TESTS) $(SYSTEM_TESTS)
else
check-local:
	@echo 'The tests need cmocka and jansson: install libcmocka-dev and libjansson-dev and run configure again.' >&2; exit 1
endif

# Every test speaks TAP, so that the summary counts single tests and not programs.
TEST_EXTENSIONS = .sh
TAP_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
LOG_DRIVER = $(TAP_DRIVER)
LOG_COMPILER = $(SHELL) $(top_srcdir)/tests/lib/run-test.sh
SH_LOG_DRIVER = $(TAP_DRIVER)
SH_LOG_COMPILER = $(SHELL) $(top_srcdir)/tests/lib/run-test.sh
# Preloaded into the program by tests that play with its time.
check_DATA = tests/lib/warp.so
CLEANFILES += tests/lib/warp.so
EXTRA_DIST += tests/lib/warp.c
tests/lib/warp.so: $(srcdir)/tests/lib/warp.c
	$(AM_V_CC)$(MKDIR_P) tests/lib && $(CC) -D_GNU_SOURCE -std=gnu17 $(WARN_CFLAGS) -I$(top_srcdir) -O2 -shared -fPIC -o $@ $(srcdir)/tests/lib/warp.c

AM_TESTS_ENVIRONMENT = \
	abs_top_srcdir='$(abs_top_srcdir)'; export abs_top_srcdir; \
	abs_top_builddir='$(abs_top_builddir)'; export abs_top_builddir; \
	MAILHAUL='$(abs_top_builddir)/mailhaul'; export MAILHAUL;

# make soak [SOAK='--hauls GLOB --faults GLOB --seconds N']: every place of every fault, which takes a day or two; the globs choose. It may be stopped, and
# goes on where it was. make faults: what make check tries of it.
SOAK =
soak: mailhaul $(fault_programs)
	$(AM_TESTS_ENVIRONMENT) bash $(srcdir)/tests/fault/test-faults.sh --all --done soak.done $(SOAK)
# make mutations [MUTATIONS='NAME...']: the order of steps broken on purpose, and which test notices; half an hour.
MUTATIONS =
mutations:
	bash $(srcdir)/tests/fault/mutations.sh $(MUTATIONS)
faults: mailhaul $(fault_programs)
	$(AM_TESTS_ENVIRONMENT) bash $(srcdir)/tests/fault/test-faults.sh
.PHONY: faults mutations soak

# make bench [ROWS='imaps-40ms*,thousand'] [ROUNDS=3]: mailhaul and its peers, into doc/benchmarks.md. All rows take an hour, most of it fetchmail's and getmail's.
bench_programs = tests/bench/delay-proxy tests/bench/reference
tests_bench_delay_proxy_SOURCES = tests/bench/delay-proxy.c
tests_bench_delay_proxy_LDADD =
tests_bench_reference_SOURCES = tests/bench/reference.c
tests_bench_reference_LDADD = $(OPENSSL_LIBS)
EXTRA_PROGRAMS += $(bench_programs)
CLEANFILES += $(bench_programs) tests/bench/watch-calls.so
tests/bench/watch-calls.so: $(srcdir)/tests/bench/watch-calls.c
	$(AM_V_CC)$(MKDIR_P) tests/bench && $(CC) -D_GNU_SOURCE -std=gnu17 $(WARN_CFLAGS) -O2 -shared -fPIC -o $@ $(srcdir)/tests/bench/watch-calls.c
ROWS = *
ROUNDS = 3
bench: mailhaul $(bench_programs) tests/bench/watch-calls.so
	MAILHAUL=$(abs_top_builddir)/mailhaul BENCH_TOOLS=$(abs_top_builddir)/tests/bench ROWS='$(ROWS)' ROUNDS='$(ROUNDS)' \
		bash $(srcdir)/tests/bench/bench.sh
.PHONY: bench

# make fuzz [FUZZ_SECONDS=600]: runs every target that long, on its corpus if it has one.
fuzz_targets = \
	tests/fuzz/fuzz-config \
	tests/fuzz/fuzz-imap-parse \
	tests/fuzz/fuzz-pop3-reply \
	tests/fuzz/fuzz-smtp-reply
tests_fuzz_fuzz_config_LDADD = $(fuzz_libs)
tests_fuzz_fuzz_imap_parse_LDADD = $(fuzz_libs)
tests_fuzz_fuzz_pop3_reply_LDADD = $(fuzz_libs)
tests_fuzz_fuzz_smtp_reply_LDADD = $(fuzz_libs)
EXTRA_PROGRAMS += $(fuzz_targets)
fuzz_libs = $(FUZZ_LIBS) src/libmailhaul.a $(LIBRARIES_USED)
FUZZ_SECONDS = 10
CLEANFILES += $(fuzz_targets)
if FUZZ
fuzz: $(fuzz_targets)
	@for target in $(fuzz_targets); do \
		mkdir -p $$target.corpus && \
		./$$target -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 $$target.corpus \
			`test -d $(srcdir)/$$target-seeds && echo $(srcdir)/$$target-seeds` || exit 1; \
	done
else
fuzz:
	@echo 'Configure with --enable-fuzz CC=clang first.' >&2; exit 1
endif
.PHONY: fuzz

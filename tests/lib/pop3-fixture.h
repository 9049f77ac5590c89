/* pop3-fixture.h - a POP3 session against a scripted server, for the flow tests: how it is set up, and what every one of them does. */
#ifndef MAILHAUL_TESTS_LIB_POP3_FIXTURE_H
#define MAILHAUL_TESTS_LIB_POP3_FIXTURE_H

#include "base/error.h"
#include "base/str.h"
#include "config/config.h"
#include "source/source.h"
#include "tests/lib/peer.h"

struct pop3_fixture {
	struct mailbox_config mailbox;
	struct source_context context;
	const char *password;
	int spool_fd;
	struct source *source;
	struct peer *peer;
	struct error err;
	struct str trace; /* what --trace would show */
};

/* User anna, password secret, no TLS, messages up to 8 MiB, spooled into memory; to be changed before pop3_fixture_start. */
void pop3_fixture_init(struct pop3_fixture *fixture);
void pop3_fixture_start(struct pop3_fixture *fixture, const struct step *script, unsigned flags);
/* Frees the session, and fails the test if it did not keep to the script. */
#define pop3_fixture_end(fixture) pop3_fixture_end_at(fixture, __FILE__, __LINE__)
void pop3_fixture_end_at(struct pop3_fixture *fixture, const char *file, int line);

/* Starts, opens and selects; all must succeed. */
void pop3_fixture_enter(struct pop3_fixture *fixture, const struct step *script, unsigned flags);
/* Asks for messages first to last (with id 100 + number), and flushes. */
void pop3_fixture_request(struct pop3_fixture *fixture, unsigned first, unsigned last);
/* Waits for the next one. NULL: the source is lost. Free it. */
struct haul *pop3_fixture_next(struct pop3_fixture *fixture);
/* Waits for the next one, which must be this message with exactly these bytes. */
void pop3_fixture_expect(struct pop3_fixture *fixture, unsigned number, const char *bytes, size_t len);
/* Waits for the next one, which must have failed like this. */
void pop3_fixture_expect_failure(struct pop3_fixture *fixture, unsigned number, enum error_kind kind, const char *text);

/* From the greeting to STAT, with 3 messages: a server that pipelines, and one that knows nothing but RFC 1939. */
extern const struct step pop3_enters_quickly[], pop3_enters_slowly[];

#endif

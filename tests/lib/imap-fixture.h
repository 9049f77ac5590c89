/* imap-fixture.h - an IMAP source talking to a scripted server, for the flow tests. */
#ifndef MAILHAUL_TESTS_LIB_IMAP_FIXTURE_H
#define MAILHAUL_TESTS_LIB_IMAP_FIXTURE_H

#include "base/error.h"
#include "base/str.h"
#include "net/tls.h"
#include "source/source.h"
#include "tests/lib/peer.h"

struct imap_fixture {
	struct mailbox_config mailbox;
	struct source_context context;
	struct source *source;
	struct peer *peer;
	struct error err;
	struct folder_status status;
	const char *password;
	struct str trace; /* all that --trace would show */
};

#define IMAP_CAPS "CAPABILITY IMAP4rev1 UIDPLUS MOVE"

/* The usual beginnings: logged in; INBOX with 3 messages selected; and the end. Registers %1, %2 and %9. */
extern const struct step imap_logged_in[], imap_selected[], imap_logged_out[];

/* anna with password "secret", tls none, at most 1000 bytes a message. To be changed before start. */
void imap_fixture_init(struct imap_fixture *fixture);
void imap_fixture_start(struct imap_fixture *fixture, const struct step *script, unsigned flags);
/* Opens and selects INBOX for writing; the test fails if that does not work. */
void imap_fixture_select(struct imap_fixture *fixture);
/* Frees the source, which hangs up; the test fails if the server saw something else than its script. */
void imap_fixture_end(struct imap_fixture *fixture);

/* Fails the test unless the error is of this kind and scope and its text holds text. */
void imap_expect_error(const struct error *err, enum error_kind kind, enum error_scope scope, const char *text);
/* Calls receive until count messages are there or the source is lost, and adds one line each: "uid <bytes>", or "uid kind: error". */
void imap_receive_all(struct imap_fixture *fixture, unsigned count, struct str *out);

#endif

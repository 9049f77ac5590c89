/* watch-fixture.h - an IMAP source with the folders INBOX and Junk that waits for mail, talking to a scripted server. */
#ifndef MAILHAUL_TESTS_LIB_WATCH_FIXTURE_H
#define MAILHAUL_TESTS_LIB_WATCH_FIXTURE_H

#include "tests/lib/imap-fixture.h"

#define WATCH_SECONDS_ARE_5_MS 0.005

struct watch_fixture {
	struct imap_fixture imap;
	struct host_facts facts; /* known to live for 120 s of silence */
	struct folder_status seen[2];
	bool news[2];
	struct source_watch watch; /* without end */
	struct str listed;
};

/* Logged in. */
void watch_begin(struct watch_fixture *fixture, const struct step *script);
/* Also: seconds are seconds again. */
void watch_end(struct watch_fixture *fixture);
/* Selects INBOX (0) or Junk (1) for writing, and takes it for seen. */
void watch_open(struct watch_fixture *fixture, unsigned folder);
int watch_once(struct watch_fixture *fixture);
void watch_expect_news(struct watch_fixture *fixture, bool of_inbox, bool of_junk);
/* The same, when what is under way is to be sent, but not to be answered. */
void watch_expect_news_and_leave(struct watch_fixture *fixture, bool of_inbox, bool of_junk);
/* UIDs, each with a space behind it. */
void watch_list(struct watch_fixture *fixture, uint64_t above_uid, const char *uids);
/* expected: as imap_receive_all has it. */
void watch_fetch(struct watch_fixture *fixture, uint32_t uid, uint64_t size, const char *expected);

#endif

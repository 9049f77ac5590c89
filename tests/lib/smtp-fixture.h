/* smtp-fixture.h - what the flow tests of SMTP and LMTP share: a destination in front of scripted servers, a letter, and the verdicts on it. */
#ifndef MAILHAUL_TESTS_LIB_SMTP_FIXTURE_H
#define MAILHAUL_TESTS_LIB_SMTP_FIXTURE_H

#include <stdint.h>

#include "channel/channel.h"
#include "dest/dest.h"
#include "tests/lib/delivery.h"
#include "tests/lib/peer.h"

#define LETTER "Subject: x\r\n\r\nhello\r\n"
#define LETTER_SENT DELIVERY_PREPEND LETTER /* 39 bytes */
#define ANNA "anna@home.example"
#define BEN "ben@far.example"

struct bench {
	struct dest_config config;
	struct channel channel;
	struct dest *dest;
	struct peer *peers[2];
	unsigned peer_count;
	struct error err;
};

/* A destination that finds one of these servers at each connection. second: NULL if there is none. */
void bench_start(struct bench *bench, enum dest_kind kind, unsigned flags, const struct step *first, const struct step *second);
/* The same at a distance, with the configured window. */
void bench_start_far(
	struct bench *bench, enum dest_kind kind, unsigned window, int64_t round_trip_ns, const struct step *first, const struct step *second);
/* Closes, and checks that the servers saw what they should. */
void bench_end(struct bench *bench);

struct delivery *letter(void); /* from BEN to ANNA */
/* As the session does it: never blocks in verdicts, sleeps for the destination otherwise. Returns what verdicts did. */
int next_verdict(struct bench *bench, struct delivery **ret_delivery);
void expect_verdict(struct bench *bench, struct delivery *delivery, enum verdict verdict);
void expect_error(const struct error *err, enum error_kind kind, enum error_scope scope, const char *text);

#endif

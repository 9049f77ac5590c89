/* plan.h - what is to be done in one folder: one listing against what is known, recorded before it is used. RFC 9051 2.3.1.1, RFC 1939 7.
 * Invariant: a plan that plan_make returns is recorded, and is on disk before anything that rests on it; every message in it has a row that says open. */
#ifndef MAILHAUL_WORKER_PLAN_H
#define MAILHAUL_WORKER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "worker/known.h"

struct error;
struct session;

struct plan_item {
	uint64_t id, size;
	uint64_t origin; /* the id that X-Mailhaul-Id is made from */
	int64_t date;
	int64_t intent_at, intent_age_s; /* of the doubtful ones, as known_item has them */
	uint64_t open;                   /* targets to be delivered to now; 0: only to be disposed of */
	uint64_t doubtful;               /* subset of open: an intent without outcome stands */
	const uint8_t *hash;             /* as intended or delivered; NULL: neither. Lives as long as the plan */
	uint32_t uid;                    /* or POP3 message number; 0: not on the server now */
	uint8_t dispose;                 /* enum disposal */
	uint8_t folder;                  /* of DISPOSE_MOVE, for known_folder; 0: as configured */
	uint8_t recognition;             /* enum recognition: neither delivered nor disposed of before it is answered */
	bool settled;                    /* hauled before, or skipped by first_run: nothing is to be done (list shows it) */
	bool held_back;                  /* not to be disposed of, whatever becomes of it now */
	bool unsure; /* its UIDL, or its UID on a server that was set back, may be another message's by now: it is looked at before anything is done to it */
	bool match; /* may have been delivered before: under another number, or as what had its UIDL until now */
};

struct plan {
	struct plan_item *items; /* in the order of the server; to be hauled: those in doubt behind the others */
	size_t count;
	size_t fetch_count;
	uint64_t fetch_bytes; /* as announced */
	size_t questions;     /* items that are to be recognised, or judged */
	struct known known;
	uint32_t exists; /* messages in the folder, for list and check */
	uint32_t old;    /* of them: those that were there before, as far as the listing that rode with SELECT tells */
	uint64_t uidvalidity;
	unsigned folder_index;
	bool match;    /* as of the items that were open before */
	bool outdated; /* some of the new messages are not as new as they look: ask again what is due */
	size_t new_count, baseline_count;
};

/* record false (list, check): the same view, nothing is written; items of new messages have id 0. */
int plan_make(struct plan *plan, struct session *session, const char *folder, unsigned folder_index, bool record, struct error *err);
/* What is due of the plan's messages, as the supervisor knows them now. */
int plan_refresh(struct plan *plan, struct session *session, struct error *err);
/* Takes out what is still in question; what is new is no more. */
void plan_drop_questions(struct plan *plan);
/* max_messages: the oldest go first, the others stay open for the next session. What is in doubt is hauled behind the rest. */
void plan_limit(struct plan *plan, struct session *session);
void plan_done(struct plan *plan);

#endif

/* timetable.h - when each mailbox of the daemon is polled next: what schedule.h says, kept in its post, and one timer for the earliest of them. */
#ifndef MAILHAUL_SUPERVISOR_TIMETABLE_H
#define MAILHAUL_SUPERVISOR_TIMETABLE_H

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

struct error;
struct mailbox_state;
struct post;
struct roster;
struct service;

struct timetable {
	struct service *service;
	struct roster *roster;
	sd_event_source *timer;
	void (*polled)(void *); /* somebody has become due, and was given out */
	void *context;
	int64_t armed_ns;  /* what timer is set to, CLOCK_BOOTTIME */
	int64_t asleep_ns; /* suspended so far, since the machine was booted */
};

/* Deadlines of tests are shorter. */
int64_t timetable_scaled_ns(int64_t seconds);
int64_t timetable_period_ns(const struct post *post);

/* The event loop exists. */
int timetable_open(
	struct timetable *timetable, struct service *service, struct roster *roster, void (*polled)(void *), void *context, struct error *err);
void timetable_close(struct timetable *timetable); /* fine on all-zero */
/* It is due then, CLOCK_BOOTTIME, if it is at rest. */
void timetable_rest(struct timetable *timetable, struct post *post, int64_t due_ns);
/* After a start or a reload: begin once, then first for each post that has to be polled, or has a back-off to wait for. */
void timetable_begin(struct timetable *timetable);
void timetable_first(struct timetable *timetable, struct post *post);
/* Its session has ended; pushed: it waited for mail until then, or left some; recalled: so that it may begin anew. */
void timetable_next(struct timetable *timetable, struct post *post, bool pushed, bool recalled);
/* If the machine has slept: whoever is due waits for the network, each in its turn, and who is pushed finds out whether its connection lives. */
void timetable_wake(struct timetable *timetable);

/* What is on record of a mailbox, also in its post; all zero while another mailhaul has the database. */
void timetable_look(struct service *service, struct post *post, struct mailbox_state *ret_mailbox);

#endif

/* marker.h - notes which say that mail was hauled with a state: in its directory, beside the configuration, and in every Maildir. So a state.db that is
 * lost, or that belongs to another machine, is never taken for a first run, which would haul everything again.
 * Their names hold a hash of the state directory's path, so that configurations with states of their own do not disturb each other. */
#ifndef MAILHAUL_STATE_MARKER_H
#define MAILHAUL_STATE_MARKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct error;
struct state;

#define MARKER_REFRESH_S 86400 /* the number of messages in it is for recognising old backups, which are days old */

enum marker_sight { MARKER_UNSEEN, MARKER_MISSING, MARKER_FOUND };

struct marker {
	char *dir, *name;
	bool in_maildir; /* whose file system may be dead: then whoever looks or writes there hangs */
	enum marker_sight sight;
	/* MARKER_FOUND */
	char installation[33]; /* "": it cannot be read any more */
	int64_t messages;      /* highest number of a message when it was written */
	int64_t written_at;    /* wall clock */
};

struct markers {
	struct marker *list; /* those in Maildirs come last */
	size_t count;
};

/* What a marker says now. */
struct marker_note {
	const char *installation; /* the state's */
	int64_t messages;
	char text[8192];
};

/* All of a configuration, MARKER_UNSEEN. */
void markers_init(struct markers *markers, const struct config *config);
void markers_done(struct markers *markers);
void markers_cut(struct markers *markers, size_t count); /* the others are dropped */
void marker_look(struct marker *marker);

/* Before a state is opened. -1: state.db is missing, and a marker, or what else is left in the directory, says that there was one, or some marker is unseen
 * and might; ERR_LOCAL and SCOPE_PROGRAM, with the way out. 0: it is there, or it never was. */
int markers_expect(const struct markers *markers, const struct config *config, struct error *err);
/* The same for whoever may hang: looks at all of them first. */
int markers_expect_state(const struct config *config, struct error *err);
/* Is this the state that those which were found speak of? -1: it is of another installation. *ret_behind: a marker has seen more messages than this
 * state, so an older copy of it was restored, and what was hauled since will be hauled again. */
int markers_compare(const struct markers *markers, const struct config *config, struct state *state, bool *ret_behind, struct error *err);

/* Once mail is planned, so that there is something to lose. */
int marker_compose(const struct config *config, struct state *state, struct marker_note *ret_note, struct error *err);
/* It is right, and of today: left alone. */
bool marker_is_current(const struct marker *marker, const struct marker_note *note, int64_t now);
/* A place that cannot be written is no error. */
void marker_write(const struct marker *marker, const char *text);

#endif

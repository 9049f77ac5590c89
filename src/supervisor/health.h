/* health.h - what the end of a session means for its mailbox, and a failure for a destination: back-off, last error, and whether it is news. Pure but
 * for what logs. */
#ifndef MAILHAUL_SUPERVISOR_HEALTH_H
#define MAILHAUL_SUPERVISOR_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

struct destination_state;
struct error;
struct log;
struct mailbox_state;

/* Notes in mailbox how a session ended (ERR_NONE: well) at now_s, wall clock; random: 32 random bits for the back-off's jitter. Trouble with the
 * network rests no longer than poll_every_s. An error of single messages, folders or destinations is shown, but is no failure of the mailbox. */
void health_note(struct mailbox_state *mailbox, const struct error *err, int64_t now_s, uint32_t poll_every_s, uint32_t random);
/* The same trouble in the same words, or in words that differ only in numbers (how long the server took to say no)? */
bool health_is_news(const char *before, const char *after);
/* For somebody who is called, not for the log. What a server or the network does for a while is none of it: that has to last for a few attempts. */
enum news { NEWS_NONE, NEWS_WORSE, NEWS_BETTER };
enum news health_news(const struct mailbox_state *before, const struct mailbox_state *after);
enum news health_destination_news(const struct destination_state *before, const struct destination_state *after);
/* What is wrong with it, and since when: "needs a new password since ...: words of the server". Returns out. */
#define HEALTH_WORDS_BYTES 320
char *health_words(char out[HEALTH_WORDS_BYTES], const struct mailbox_state *mailbox);
/* One line per change of state: a warning when it is news, or when a person is watching. */
void health_log(const struct mailbox_state *before, const struct mailbox_state *after, bool attended, const struct log *log, const struct error *err);

/* The same for a destination: it failed, or (ERR_NONE) has accepted something, which ends its back-off. */
void health_note_destination(struct destination_state *destination, const struct error *err, int64_t now_s, uint32_t random);
void health_log_failure(const char *name, const struct destination_state *before, const struct destination_state *after, bool attended);
void health_log_recovery(const char *name, const struct destination_state *now);

#endif

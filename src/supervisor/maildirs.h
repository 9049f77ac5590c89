/* maildirs.h - what the supervisor knows of Maildirs. It never touches one: a dead network file system would stop all sessions. Workers open theirs, and
 * tell what they have found; they do so before they talk to anybody, and are heard once. */
#ifndef MAILHAUL_SUPERVISOR_MAILDIRS_H
#define MAILHAUL_SUPERVISOR_MAILDIRS_H

#include <stdbool.h>
#include <stdint.h>

struct attendant;
struct error;
struct maildirs;
struct record;

struct maildirs *maildirs_new(void);
void maildirs_free(struct maildirs *maildirs);

/* For the job: which Maildirs are to be opened, and of those what was tidied of late. A thousand sessions may deliver to one. */
void maildirs_expect(struct attendant *attendant);
/* REC_MAILDIR. NULL, or what is wrong with it. */
const char *maildirs_take(struct attendant *attendant, const struct record *record);
/* The worker has not opened all of them for so long that it is to be killed: that is how its session ends. The one at which it hangs backs off, so that the
 * next session does without; what else there is need not wait long for that. */
void maildirs_give_up(struct attendant *attendant);

/* Of the marker there (state/marker.h): until then nobody need care for it. Wall clock seconds. */
bool maildirs_marker_is_due(const struct maildirs *maildirs, const char *path, int64_t now_s);
void maildirs_put_off_marker(struct maildirs *maildirs, const char *path, int64_t until_s);

#endif

/* round.h - what the daemon looks after now and then, since nothing tells of it: workers that cannot be killed, passwords that were replaced, room on a
 * disk that was full. */
#ifndef MAILHAUL_SUPERVISOR_ROUND_H
#define MAILHAUL_SUPERVISOR_ROUND_H

#include <stdbool.h>

struct roster;
struct timetable;

/* leaving: nothing is begun any more. */
void round_make(struct roster *roster, struct timetable *timetable, bool leaving);

#endif

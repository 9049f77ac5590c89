/* privileges.h - root is for the beginning only. */
#ifndef MAILHAUL_SUPERVISOR_PRIVILEGES_H
#define MAILHAUL_SUPERVISOR_PRIVILEGES_H

struct config;
struct error;
struct spawner;

/* As root: makes the state directory for run_as if there is none, then becomes that user for good, the spawner too, and says so. Else nothing. */
int privileges_drop(const struct config *config, struct spawner *spawner, struct error *err);

#endif

/* notify.h - what the service manager is told (sd_notify(3)); without one, nothing happens. */
#ifndef MAILHAUL_SUPERVISOR_NOTIFY_H
#define MAILHAUL_SUPERVISOR_NOTIFY_H

struct roster;

void notify_ready(void);     /* up, or done with reloading */
void notify_reloading(void); /* with the moment, as Type=notify-reload wants it */
void notify_stopping(void);
/* One line for people: how many mailboxes, which of them fail. Said when it has changed. */
void notify_status(const struct roster *roster);

#endif

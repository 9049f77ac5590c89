/* worker.h - the life of a worker process, from birth to _exit. */
#ifndef MAILHAUL_WORKER_WORKER_H
#define MAILHAUL_WORKER_WORKER_H

void worker_main(int channel_fd) __attribute__((noreturn));

#endif

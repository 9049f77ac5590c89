/* mda-input.h - what a program reads: the whole message in a file that it can read from the start, made before the program runs.
 * Never a pipe: a program cannot tell a complete message from one whose writer died, and files half of it. */
#ifndef MAILHAUL_DEST_MDA_INPUT_H
#define MAILHAUL_DEST_MDA_INPUT_H

#include "dest/local.h"

struct channel;
struct delivery;
struct error;

struct mda_input {
	struct channel *channel;      /* gives out files in the state directory */
	const char *destination;      /* for errors */
	const struct delivery *begun; /* its message is still arriving, and file has what there is of it; NULL: none */
	struct local_file file;
};

/* As dest_ops.begin and feed. */
int mda_input_begin(struct mda_input *input, const struct delivery *delivery, struct error *err);
int mda_input_feed(struct mda_input *input, const struct delivery *delivery, struct error *err);
void mda_input_discard(struct mda_input *input, const struct delivery *delivery); /* if it was begun */
/* All of it, to be read from its start: a descriptor for the caller, or -1. */
int mda_input_make(struct mda_input *input, const struct delivery *delivery, struct error *err);

#endif

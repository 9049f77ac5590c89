/* plan-read.h - a plan as the worker sent it, which is not trusted: what is wrong with it is found before anything of it is carried out. Private to state/. */
#ifndef MAILHAUL_STATE_PLAN_READ_H
#define MAILHAUL_STATE_PLAN_READ_H

#include <stddef.h>
#include <stdint.h>

#include "channel/record.h"

struct error;
struct folder_row;

/* Where the parts of a plan are, once their lengths are known to be right. */
struct plan_view {
	struct plan_header header;
	const uint8_t *entries, *gone, *end;
};

/* What one entry says; the key is borrowed from the plan. */
struct plan_row {
	struct plan_entry head;
	const uint8_t *key;
};

/* Checks all of it; ret_plan is borrowed from bytes. 0, or -1: the worker lies. */
int plan_read(const void *bytes, size_t len, const struct folder_row *folder, struct plan_view *ret_plan, struct error *err);
/* What follows the entry, or NULL if it is cut short, which plan_read has ruled out. */
const uint8_t *plan_next_entry(const uint8_t *at, const uint8_t *end, struct plan_row *ret_entry);

#endif

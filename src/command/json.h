/* json.h - members of a JSON object, as commands print them. Each begins with a comma but the first. */
#ifndef MAILHAUL_COMMAND_JSON_H
#define MAILHAUL_COMMAND_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A string alone, of any bytes: what is not printable ASCII becomes \u00XX. */
void json_value(FILE *to, const char *bytes, size_t len);
/* bytes NULL: null. */
void json_text(FILE *to, const char *key, const char *bytes, size_t len);
void json_string(FILE *to, const char *key, const char *text);
void json_date(FILE *to, const char *key, int64_t wall_s); /* 0: null */

#endif

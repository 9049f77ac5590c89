#include "command/json.h"

#include <string.h>

#include "base/clock.h"

void json_value(FILE *to, const char *bytes, size_t len)
{
	putc('"', to);
	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		if (byte == '"' || byte == '\\')
			fprintf(to, "\\%c", byte);
		else if (byte < 0x20 || byte > 0x7E)
			fprintf(to, "\\u%04x", byte);
		else
			putc(byte, to);
	}
	putc('"', to);
}

void json_text(FILE *to, const char *key, const char *bytes, size_t len)
{
	fprintf(to, ",\"%s\":", key);
	if (bytes != NULL)
		json_value(to, bytes, len);
	else
		fputs("null", to);
}

void json_string(FILE *to, const char *key, const char *text)
{
	json_text(to, key, text, text != NULL ? strlen(text) : 0);
}

void json_date(FILE *to, const char *key, int64_t wall_s)
{
	char date[24];

	json_string(to, key, wall_s != 0 ? clock_iso8601(date, wall_s) : NULL);
}

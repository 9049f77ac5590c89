#include "command/json.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

void json_text(const char *key, const char *bytes, size_t len)
{
	if (bytes == NULL) {
		printf(",\"%s\":null", key);
		return;
	}
	printf(",\"%s\":\"", key);
	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		if (byte == '"' || byte == '\\')
			printf("\\%c", byte);
		else if (byte < 0x20 || byte > 0x7E)
			printf("\\u%04x", byte);
		else
			putchar(byte);
	}
	putchar('"');
}

void json_string(const char *key, const char *text)
{
	json_text(key, text, text != NULL ? strlen(text) : 0);
}

void json_date(const char *key, int64_t wall_s)
{
	char date[24];

	json_string(key, wall_s != 0 ? clock_iso8601(date, wall_s) : NULL);
}

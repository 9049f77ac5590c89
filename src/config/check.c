#include "config/check.h"

#include <string.h>

#include "config/config.h"
#include "mail/address.h"

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

const char *check_name(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || strspn(text, ALNUM) == 0 || strspn(text, ALNUM "._-") != len)
		return "is no name: letters, digits and . _ - may stand in it, and it begins with a letter or digit";
	return len < NAME_BYTES ? NULL : "is longer than 64 characters";
}

const char *check_folder(const char *text)
{
	/* LIST patterns, special-use names and exclusions would be taken for names by the server, which then says that there is no such folder. */
	if (strpbrk(text, "*%") != NULL)
		return "has a * or %; folders are written out by name, patterns are not supported";
	if (text[0] == '\\' || text[0] == '!')
		return "begins with \\ or !; folders are written out by name";
	return NULL;
}

const char *check_address(const char *text)
{
	return address_is_valid(text, strlen(text)) ? NULL : "is no mail address: write local@domain, or the name of a local user, without < and >";
}

const char *check_sender(const char *text)
{
	return text[0] == '\0' || strcmp(text, "<>") == 0 ? NULL : check_address(text);
}

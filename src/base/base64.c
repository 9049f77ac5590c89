#include "base/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(char *out, const void *bytes, size_t len)
{
	const unsigned char *in = bytes;
	char *to = out;

	for (; len >= 3; len -= 3, in += 3) {
		*to++ = alphabet[in[0] >> 2];
		*to++ = alphabet[(in[0] & 3) << 4 | in[1] >> 4];
		*to++ = alphabet[(in[1] & 15) << 2 | in[2] >> 6];
		*to++ = alphabet[in[2] & 63];
	}
	if (len != 0) {
		*to++ = alphabet[in[0] >> 2];
		*to++ = alphabet[(in[0] & 3) << 4 | (len == 2 ? in[1] >> 4 : 0)];
		*to++ = len == 2 ? alphabet[(in[1] & 15) << 2] : '=';
		*to++ = '=';
	}
	*to = '\0';
	return (size_t)(to - out);
}

static int value_of(char letter)
{
	const char *at = letter != '\0' ? strchr(alphabet, letter) : NULL;

	return at != NULL ? (int)(at - alphabet) : -1;
}

bool base64_decode(void *out, size_t *ret_len, const char *text, size_t len)
{
	unsigned char *to = out;

	if (len % 4 != 0)
		return false;
	for (size_t i = 0; i < len; i += 4) {
		bool last = i + 4 == len;
		int pad = last && text[i + 3] == '=' ? (text[i + 2] == '=' ? 2 : 1) : 0;
		int value[4] = {0};

		for (int k = 0; k < 4 - pad; k++)
			if ((value[k] = value_of(text[i + (size_t)k])) < 0)
				return false;
		if ((pad == 2 && (value[1] & 15) != 0) || (pad == 1 && (value[2] & 3) != 0))
			return false; /* bits that would be lost: not what an encoder writes */
		*to++ = (unsigned char)(value[0] << 2 | value[1] >> 4);
		if (pad < 2)
			*to++ = (unsigned char)(value[1] << 4 | value[2] >> 2);
		if (pad < 1)
			*to++ = (unsigned char)(value[2] << 6 | value[3]);
	}
	*ret_len = (size_t)(to - (unsigned char *)out);
	return true;
}

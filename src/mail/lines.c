#include "mail/lines.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

/* Eight bytes at a time: less 0x10, those that were smaller have their high bit set. A borrow can set others' too, but only behind such a one: the first is
 * always right. */
size_t plain_run(const char *bytes, size_t len)
{
	const uint64_t high = UINT64_C(0x8080808080808080), least = UINT64_C(0x1010101010101010);
	size_t run = 0;

	for (; len - run >= sizeof(uint64_t); run += sizeof(uint64_t)) {
		uint64_t word, small;

		memcpy(&word, bytes + run, sizeof(word));
		word = le64toh(word);
		small = (word - least) & ~word & high;
		if (small != 0)
			return run + (size_t)__builtin_ctzll(small) / 8;
	}
	while (run < len && (unsigned char)bytes[run] >= 0x10)
		run++;
	return run;
}

/* Copies the run that begins at in[*i], if any; true: that was the rest of it. */
static bool copy_run(const char *in, size_t len, size_t *i, char *out, size_t *n)
{
	size_t run = plain_run(in + *i, len - *i);

	memcpy(out + *n, in + *i, run);
	*i += run;
	*n += run;
	return *i == len;
}

enum dot_state {
	DOT_LINE_START,
	DOT_TEXT,
	DOT_CR,     /* passed on; a LF now ends the line */
	DOT_DOT,    /* first byte of a line: dropped, unless the line ends the response it was stuffed */
	DOT_DOT_CR, /* ".CR" held back: LF now ends the response */
};

void dot_decoder_init(struct dot_decoder *decoder)
{
	*decoder = (struct dot_decoder){.state = DOT_LINE_START};
}

static unsigned after_byte(char byte)
{
	return byte == '\r' ? DOT_CR : DOT_TEXT;
}

size_t dot_decode(struct dot_decoder *decoder, const char *in, size_t len, char *out, size_t *ret_used)
{
	size_t i, n = 0;

	for (i = 0; i < len && !decoder->ended; i++) {
		char byte;

		if (decoder->state == DOT_TEXT && copy_run(in, len, &i, out, &n))
			break;
		byte = in[i];
		if (decoder->state == DOT_DOT && byte == '\r') {
			decoder->state = DOT_DOT_CR;
			continue;
		}
		if (decoder->state == DOT_DOT_CR && byte == '\n') {
			decoder->ended = true;
			continue;
		}
		if (decoder->state == DOT_LINE_START && byte == '.') {
			decoder->state = DOT_DOT;
			continue;
		}
		if (decoder->state == DOT_DOT_CR) {
			out[n++] = '\r';
			decoder->state = DOT_CR;
		}
		out[n++] = byte;
		decoder->state = decoder->state == DOT_CR && byte == '\n' ? DOT_LINE_START : after_byte(byte);
	}
	*ret_used = i;
	return n;
}

enum smtp_state {
	SMTP_LINE_START,
	SMTP_TEXT,
	SMTP_CR, /* held back: LF makes it a line end, anything else a space */
};

void smtp_encoder_init(struct smtp_encoder *encoder, bool stuff)
{
	*encoder = (struct smtp_encoder){.state = SMTP_LINE_START, .stuff = stuff};
}

static size_t put_line_end(struct smtp_encoder *encoder, char *out)
{
	encoder->state = SMTP_LINE_START;
	memcpy(out, "\r\n", 2);
	return 2;
}

/* A CR that ends no line, or a NUL: SMTP has no form for either, and servers disagree about what a lone CR means (CVE-2023-51764, CVE-2026-33604). */
static size_t put_space(struct smtp_encoder *encoder, char *out)
{
	encoder->state = SMTP_TEXT;
	encoder->changed++;
	*out = ' ';
	return 1;
}

size_t smtp_encode(struct smtp_encoder *encoder, const char *in, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char byte;

		if (encoder->state == SMTP_TEXT && copy_run(in, len, &i, out, &n))
			break;
		byte = in[i];
		if (encoder->state == SMTP_CR && byte != '\n')
			n += put_space(encoder, out + n);
		if (byte == '\n') {
			n += put_line_end(encoder, out + n);
		} else if (byte == '\r') {
			encoder->state = SMTP_CR;
		} else if (byte == '\0') {
			n += put_space(encoder, out + n);
		} else {
			if (byte == '.' && encoder->stuff && encoder->state == SMTP_LINE_START)
				out[n++] = '.';
			out[n++] = byte;
			encoder->state = SMTP_TEXT;
		}
	}
	return n;
}

size_t smtp_encode_end(struct smtp_encoder *encoder, char *out)
{
	size_t n = 0;

	if (encoder->state == SMTP_CR)
		n += put_space(encoder, out);
	if (encoder->state == SMTP_TEXT)
		n += put_line_end(encoder, out + n);
	return n;
}

void local_encoder_init(struct local_encoder *encoder)
{
	encoder->after_cr = false;
}

size_t local_encode(struct local_encoder *encoder, const char *in, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (!encoder->after_cr && copy_run(in, len, &i, out, &n))
			break;
		if (encoder->after_cr && in[i] != '\n')
			out[n++] = '\r';
		encoder->after_cr = in[i] == '\r';
		if (!encoder->after_cr)
			out[n++] = in[i];
	}
	return n;
}

size_t local_encode_end(struct local_encoder *encoder, char *out)
{
	if (!encoder->after_cr)
		return 0;
	encoder->after_cr = false;
	*out = '\r';
	return 1;
}

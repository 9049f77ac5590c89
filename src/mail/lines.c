#include "mail/lines.h"

#include <assert.h>
#include <string.h>

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

/* Where byte is next, at or behind from; len if it is nowhere. */
static size_t next_of(const char *in, size_t from, size_t len, char byte)
{
	const char *found = from < len ? memchr(in + from, byte, len - from) : NULL;

	return found != NULL ? (size_t)(found - in) : len;
}

size_t dot_decode(struct dot_decoder *decoder, const char *in, size_t len, char *out, size_t *ret_used)
{
	size_t i, n = 0;

	for (i = 0; i < len && !decoder->ended; i++) {
		char byte = in[i];

		if (decoder->state == DOT_TEXT && byte != '\r') {
			size_t run = next_of(in, i, len, '\r') - i;

			memcpy(out + n, in + i, run);
			n += run;
			i += run - 1;
			continue;
		}

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

/* Bytes that are no line end, no CR and no NUL. */
static size_t put_plain(struct smtp_encoder *encoder, const char *bytes, size_t len, char *out)
{
	size_t dot = bytes[0] == '.' && encoder->stuff && encoder->state == SMTP_LINE_START;

	encoder->state = SMTP_TEXT;
	out[0] = '.';
	memcpy(out + dot, bytes, len);
	return dot + len;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

size_t smtp_encode(struct smtp_encoder *encoder, const char *in, size_t len, char *out)
{
	size_t n = 0, lf = 0, cr = 0, nul = 0;

	for (size_t i = 0; i < len; i++) {
		size_t run;

		/* Each is looked for again only when it has been passed, so no byte is looked at more than four times. */
		lf = i == 0 || lf < i ? next_of(in, i, len, '\n') : lf;
		cr = i == 0 || cr < i ? next_of(in, i, len, '\r') : cr;
		nul = i == 0 || nul < i ? next_of(in, i, len, '\0') : nul;
		run = smallest(lf, cr, nul) - i;
		if (encoder->state == SMTP_CR && i != lf)
			n += put_space(encoder, out + n);
		if (run != 0) {
			n += put_plain(encoder, in + i, run, out + n);
			i += run - 1;
		} else if (i == lf) {
			n += put_line_end(encoder, out + n);
		} else if (i == cr) {
			encoder->state = SMTP_CR;
		} else {
			n += put_space(encoder, out + n);
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

#include "mail/received.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/sha256.h"
#include "base/str.h"
#include "mail/address.h"

#define FIELD_LINE_MAX 77 /* RFC 5322 2.1.1 wants 78; a semicolon may follow a word */
#define WORD_MAX 300      /* what one word is cut at, so that a line stays well below 998 */
#define FOLDER_MAX_BYTES 600

/* A field is written word by word: a word that would make the line too long begins the next one. */
struct field {
	struct str *out;
	size_t column;
};

static struct field field_begin(struct str *out, const char *name)
{
	str_add_text(out, name);
	return (struct field){out, strlen(name)};
}

static void add_word(struct field *field, const char *word)
{
	size_t len = strlen(word);
	bool fold = field->column + 1 + len > FIELD_LINE_MAX;

	str_add_text(field->out, fold ? "\r\n\t" : " ");
	str_add(field->out, word, len);
	field->column = fold ? 8 + len : field->column + 1 + len;
}

static void field_end(struct field *field)
{
	str_add_text(field->out, "\r\n");
}

/* An atom or a domain: whatever else came in becomes '-'. */
static void add_token(struct field *field, const char *token)
{
	char word[WORD_MAX];
	size_t n = 0;

	for (; token[n] != '\0' && n < sizeof(word) - 1; n++) {
		char byte = token[n];
		bool plain =
			(byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || byte == '_' || byte == '.';

		word[n] = plain ? byte : '-';
	}
	word[n] = '\0';
	add_word(field, n != 0 ? word : "unknown");
}

/* A domain, or an address as RFC 5321 4.1.3 wants it. */
static void add_host(struct field *field, const char *host)
{
	struct in6_addr address;
	char word[INET6_ADDRSTRLEN + 8];

	if (inet_pton(AF_INET, host, &address) == 1) {
		snprintf(word, sizeof(word), "[%s]", host);
		add_word(field, word);
	} else if (inet_pton(AF_INET6, host, &address) == 1) {
		snprintf(word, sizeof(word), "[IPv6:%s]", host);
		add_word(field, word);
	} else {
		add_token(field, host);
	}
}

static void add_path(struct field *field, const char *before, const char *address, const char *after)
{
	char word[ADDRESS_MAX + 8];
	bool valid = address_is_valid(address, strlen(address));

	snprintf(word, sizeof(word), "%s%s%s", before, valid ? address : "", after);
	add_word(field, word);
}

static void write_return_path(struct str *out, const char *sender)
{
	struct field field = field_begin(out, "Return-Path:");

	add_path(&field, "<", sender, ">");
	field_end(&field);
}

static void write_delivered_to(struct str *out, const char *recipient)
{
	struct field field;

	if (!address_is_valid(recipient, strlen(recipient)))
		return;
	field = field_begin(out, "Delivered-To:");
	add_path(&field, "", recipient, "");
	field_end(&field);
}

/* The FOR clause takes a mailbox with a domain only, and there is none for a Maildir. */
static bool has_for_clause(const char *recipient)
{
	return recipient != NULL && strchr(recipient, '@') != NULL && address_is_valid(recipient, strlen(recipient));
}

/* Time-stamp-line of RFC 5321 4.4. */
static void write_received(struct str *out, const struct received *received)
{
	struct field field = field_begin(out, "Received:");
	char date[48];

	add_word(&field, "from");
	add_host(&field, received->source_host);
	add_word(&field, "by");
	add_host(&field, received->host);
	add_word(&field, "(mailhaul)");
	add_word(&field, "with");
	add_token(&field, received->protocol);
	add_word(&field, "id");
	add_token(&field, received->id);
	if (has_for_clause(received->for_recipient)) {
		add_word(&field, "for");
		add_path(&field, "<", received->for_recipient, ">");
	}
	str_add_byte(out, ';');
	field.column++;
	add_word(&field, clock_rfc5322(date, received->when));
	field_end(&field);
}

static void write_mailbox(struct str *out, const struct received *received)
{
	struct field field = field_begin(out, "X-Mailhaul-Mailbox:");
	struct str value = {0};

	str_add_escaped(&value, received->mailbox, strlen(received->mailbox), WORD_MAX);
	if (received->folder != NULL) {
		str_add_byte(&value, '/');
		str_add_escaped(&value, received->folder, strlen(received->folder), FOLDER_MAX_BYTES);
	}
	add_word(&field, str_text(&value));
	field_end(&field);
	str_done(&value);
}

void received_write(struct str *out, const struct received *received)
{
	struct field id;

	if (received->sender != NULL)
		write_return_path(out, received->sender);
	if (received->recipient != NULL)
		write_delivered_to(out, received->recipient);
	write_received(out, received);
	id = field_begin(out, "X-Mailhaul-Id:");
	add_token(&id, received->id);
	field_end(&id);
	write_mailbox(out, received);
}

static void add_to_id(struct sha256 *sha, const char *text)
{
	sha256_add(sha, text, strlen(text) + 1); /* the NUL separates: "ab", "c" is not "a", "bc" */
}

void received_make_id(char out[41], const char *mark, const char *installation, const char *mailbox, const char *folder, uint64_t message_id,
	const char *destination, const char *recipient)
{
	uint8_t digest[SHA256_BYTES];
	struct sha256 sha;
	char number[24];

	snprintf(number, sizeof(number), "%llu", (unsigned long long)message_id);
	sha256_init(&sha);
	add_to_id(&sha, installation);
	add_to_id(&sha, mailbox);
	add_to_id(&sha, folder != NULL ? folder : "");
	add_to_id(&sha, number);
	add_to_id(&sha, destination);
	add_to_id(&sha, recipient);
	sha256_end(&sha, digest);
	memcpy(out, mark, 8);
	hex_encode(out + 8, digest, 16);
}

void received_make_mark(char out[9], const char *installation)
{
	uint8_t digest[SHA256_BYTES];

	sha256_of(installation, strlen(installation), digest);
	hex_encode(out, digest, 4);
}

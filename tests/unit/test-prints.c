#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mail/header.h"
#include "mail/prints.h"

static void on_field(void *context, const struct header_field *field)
{
	prints_add_field(context, field);
}

static bool print(const char *text, size_t piece, uint8_t hash[SHA256_BYTES], uint8_t trace[SHA256_BYTES])
{
	struct header_scanner scanner;
	struct prints prints;
	size_t len = strlen(text);

	prints_init(&prints);
	header_scanner_init(&scanner, on_field, &prints);
	for (size_t at = 0; at < len; at += piece) {
		size_t n = len - at < piece ? len - at : piece;

		prints_add_bytes(&prints, text + at, n);
		header_scan(&scanner, text + at, n);
	}
	header_scan_end(&scanner);
	prints_end(&prints, hash, trace);
	return prints.has_trace;
}

static const char message[] = "Return-Path: <x@y>\r\n"
			      "Received: from a by b;\r\n"
			      "\tSat, 21 Nov 2026 23:08:16 +0000\r\n"
			      "RECEIVED:   from c   by a\r\n"
			      "From: Anna <anna@a.example>\r\n"
			      "Subject: not part of it\r\n"
			      "Date: Sat, 21 Nov 2026 23:08:10 +0000\r\n"
			      "Message-ID: <1@a.example>\r\n"
			      "\r\n"
			      "Received: in the body\r\n";
static const char canonical[] = "received:from a by b; Sat, 21 Nov 2026 23:08:16 +0000\n"
				"received:from c by a\n"
				"from:Anna <anna@a.example>\n"
				"date:Sat, 21 Nov 2026 23:08:10 +0000\n"
				"message-id:<1@a.example>\n";

static void prints_are_what_they_say_in_any_pieces(void **state)
{
	uint8_t want_hash[SHA256_BYTES], want_trace[SHA256_BYTES];

	(void)state;
	sha256_of(message, strlen(message), want_hash);
	sha256_of(canonical, strlen(canonical), want_trace);
	for (size_t piece = 1; piece <= strlen(message); piece++) {
		uint8_t hash[SHA256_BYTES], trace[SHA256_BYTES];

		assert_true(print(message, piece, hash, trace));
		assert_memory_equal(hash, want_hash, SHA256_BYTES);
		assert_memory_equal(trace, want_trace, SHA256_BYTES);
	}
}

static void traces_differ_where_they_should(void **state)
{
	static const struct {
		const char *text;
		bool same;
	} cases[] = {
		{"Received: from a by b\nDate: now\nFrom: x\nMessage-ID: <1>\n\nother body", true},
		{"Received: from a by b\r\nDate: now\r\nFrom: x\r\nMessage-ID: <1>\r\n\r\n", true},
		{"Received: from a\r\n by b\r\nDate:now\r\nFrom:\r\n\tx\r\nMessage-Id: <1>\r\n", true},
		{"received: from \t a by  b\nX-New: field\nDate: now\nFrom: x\nMessage-ID: <1>\nReceived-SPF: pass\n\n", true},
		{"Received: from a by b \r\r\nDate: now\r\nFrom: x\r\nMessage-ID: <1>\r\n\r\n", true},
		{"Received: from a byb\nDate: now\nFrom: x\nMessage-ID: <1>\n\n", false},
		{"Received: from a by b\nDate: now\nFrom: X\nMessage-ID: <1>\n\n", false},
		{"Received: from a by b\nDate: now\nFrom: x\nMessage-ID: <2>\n\n", false},
		{"Received: from a by b\nDate: then\nFrom: x\nMessage-ID: <1>\n\n", false},
		{"Received: from a by b\nReceived: from a by b\nDate: now\nFrom: x\nMessage-ID: <1>\n\n", false},
		{"Date: now\nFrom: x\nMessage-ID: <1>\nReceived: from a by b\n\n", false},
		{"Received: from a by b\nDate: now\nFrom: x\n\nMessage-ID: <1>\n", false},
	};
	uint8_t hash[SHA256_BYTES], first[SHA256_BYTES], trace[SHA256_BYTES];

	(void)state;
	print(cases[0].text, 1000, hash, first);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_true(print(cases[i].text, 7, hash, trace));
		if ((memcmp(trace, first, SHA256_BYTES) == 0) != cases[i].same)
			fail_msg("case %zu", i);
	}
}

static void without_received_there_is_no_trace(void **state)
{
	static const char *const cases[] = {
		"", "\n", "Message-ID: <1>\nFrom: x\nDate: now\n\nReceived: x\n", "Received by nobody\n", "X-Received: x\n\n"};
	uint8_t hash[SHA256_BYTES], trace[SHA256_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_false(print(cases[i], 1000, hash, trace));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_are_what_they_say_in_any_pieces),
		cmocka_unit_test(traces_differ_where_they_should),
		cmocka_unit_test(without_received_there_is_no_trace),
	};

	return cmocka_run_group_tests_name("prints", tests, NULL, NULL);
}

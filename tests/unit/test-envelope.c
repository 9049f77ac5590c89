#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/config.h"
#include "mail/envelope.h"
#include "mail/message.h"

static void the_sender_is_the_first_there_is(void **state)
{
	static const struct {
		const char *mailbox_sender, *dest_sender;
		enum dest_kind kind;
		const char *user, *return_path;
		const char *want;
	} cases[] = {
		{NULL, NULL, DEST_LMTP, NULL, "r@a", "r@a"},
		{NULL, NULL, DEST_LMTP, NULL, "", ""},
		{NULL, NULL, DEST_LMTP, NULL, NULL, ""},
		{NULL, NULL, DEST_SMTP, NULL, "r@a", "r@a"},
		{NULL, NULL, DEST_SMTP, "login@b", "r@a", "login@b"},
		{NULL, NULL, DEST_SMTP, "login@b", "", "login@b"},
		{NULL, NULL, DEST_SMTP, "login@b", NULL, "login@b"},
		{NULL, NULL, DEST_SMTP, "login", "r@a", "r@a"},
		{NULL, NULL, DEST_SMTP, "not an@address", "r@a", "r@a"},
		{NULL, NULL, DEST_LMTP, "login@b", "r@a", "r@a"},
		{NULL, "d@c", DEST_SMTP, "login@b", "r@a", "d@c"},
		{NULL, "", DEST_SMTP, "login@b", "r@a", ""},
		{NULL, "<>", DEST_MDA, NULL, "r@a", ""},
		{"m@d", "d@c", DEST_SMTP, "login@b", "r@a", "m@d"},
		{"<>", "d@c", DEST_SMTP, "login@b", "r@a", ""},
		{"", "d@c", DEST_SMTP, "login@b", "r@a", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mailbox_config mailbox = {.sender = (char *)cases[i].mailbox_sender};
		struct dest_config dest = {.kind = cases[i].kind, .sender = (char *)cases[i].dest_sender, .server.user = (char *)cases[i].user};
		struct message message = {.has_return_path = cases[i].return_path != NULL};

		if (cases[i].return_path != NULL)
			strcpy(message.return_path, cases[i].return_path);
		assert_string_equal(envelope_sender(&mailbox, &dest, &message), cases[i].want);
	}
}

static void smtputf8_is_for_internationalized_mail_only(void **state)
{
	static const struct {
		const char *sender, *recipient;
		bool utf8_header, want;
	} cases[] = {
		{"a@b", "c@d", false, false},
		{"", "c", false, false},
		{"a@b", "c@d", true, true},
		{"gr\u00FC\u00DFe@b", "c@d", false, true},
		{"", "gr\u00FC\u00DFe@d", false, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct message message = {.utf8_header = cases[i].utf8_header, .eight_bit = true};

		assert_int_equal(envelope_needs_smtputf8(cases[i].sender, cases[i].recipient, &message), cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sender_is_the_first_there_is),
		cmocka_unit_test(smtputf8_is_for_internationalized_mail_only),
	};

	return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}

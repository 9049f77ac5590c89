#include "base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void keeps_kind_scope_code_and_text(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(error_set(&err, ERR_PROTO, SCOPE_FOLDER, "%s at %d", "nonsense", 3), -1);
	assert_int_equal(err.kind, ERR_PROTO);
	assert_int_equal(err.scope, SCOPE_FOLDER);
	assert_int_equal(err.code, 0);
	assert_string_equal(err.text, "nonsense at 3");
	assert_int_equal(error_code(&err, ERR_REFUSED, SCOPE_RECIPIENT, 550, "no"), -1);
	assert_int_equal(err.code, 550);
	assert_int_equal(error_prefix(&err, "RCPT %s: ", "anna"), -1);
	assert_string_equal(err.text, "RCPT anna: no");
	assert_int_equal(err.kind, ERR_REFUSED);
}

static void tells_errno_and_keeps_it(void **state)
{
	struct error err = {0};

	(void)state;
	errno = ENOSPC;
	assert_int_equal(error_errno(&err, SCOPE_PROGRAM, "cannot write %s", "x"), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(err.kind, ERR_LOCAL);
	assert_int_equal(err.code, ENOSPC);
	assert_string_equal(err.text, "cannot write x: No space left on device");
}

static void cuts_what_is_too_long(void **state)
{
	struct error err = {0};
	char text[2 * sizeof(err.text)];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set(&err, ERR_TEMP, SCOPE_MAILBOX, "%s", text);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	error_prefix(&err, "context: ");
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	assert_memory_equal(err.text, "context: xxx", 12);
	errno = EIO;
	error_errno(&err, SCOPE_PROGRAM, "%s", text);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	error_prefix(&err, "%s", text);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

static void nobody_need_listen(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, ERR_TEMP, SCOPE_MAILBOX, "x"), -1);
	assert_int_equal(error_code(NULL, ERR_TEMP, SCOPE_MAILBOX, 1, "x"), -1);
	assert_int_equal(error_errno(NULL, SCOPE_MAILBOX, "x"), -1);
	assert_int_equal(error_prefix(NULL, "x"), -1);
}

static void everything_has_a_name(void **state)
{
	(void)state;
	for (int kind = ERR_NONE; kind <= ERR_CANCELED; kind++)
		assert_string_not_equal(error_kind_name((enum error_kind)kind), "unknown");
	for (int scope = SCOPE_MESSAGE; scope <= SCOPE_PROGRAM; scope++)
		assert_string_not_equal(error_scope_name((enum error_scope)scope), "unknown");
	assert_string_equal(error_kind_name((enum error_kind)99), "unknown");
	assert_string_equal(error_scope_name((enum error_scope) - 1), "unknown");
	assert_string_equal(error_kind_name(ERR_AUTH), "login");
	assert_string_equal(error_scope_name(SCOPE_DESTINATION), "destination");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_kind_scope_code_and_text),
		cmocka_unit_test(tells_errno_and_keeps_it),
		cmocka_unit_test(cuts_what_is_too_long),
		cmocka_unit_test(nobody_need_listen),
		cmocka_unit_test(everything_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

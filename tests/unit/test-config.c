#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/str.h"
#include "config/config.h"
#include "config/password.h"
#include "config/schema.h"
#include "config/yaml.h"

static char dir[] = "/tmp/mailhaul-config-XXXXXX";

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	static const char *const names[] = {
		"config.yaml", "pw", "home/.config/mailhaul/config.yaml", "home/.config/mailhaul", "home/.config", "home"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char *path = xasprintf("%s/%s", dir, names[i]);

		remove(path);
		free(path);
	}
	return rmdir(dir);
}

static char *write_file(const char *name, const void *bytes, size_t len, mode_t mode)
{
	char *path = xasprintf("%s/%s", dir, name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

/* Loads yaml from DIR/config.yaml; *ret_told gets the problems without "DIR/config.yaml:". The caller frees both. */
static struct config *load(const char *yaml, size_t len, mode_t mode, char **ret_told)
{
	char *path = write_file("config.yaml", yaml, len, mode), *told = NULL;
	size_t told_len;
	FILE *out = open_memstream(&told, &told_len);
	struct config *config = config_load(path, "/state", out);
	struct str plain = {0};

	fclose(out);
	for (char *line = told, *end; *line != '\0'; line = end + 1) {
		end = strchr(line, '\n');
		assert_non_null(end);
		assert_int_equal(strncmp(line, path, strlen(path)), 0);
		assert_int_equal(line[strlen(path)], ':');
		str_add(&plain, line + strlen(path) + 1, (size_t)(end + 1 - line) - strlen(path) - 1);
	}
	free(told);
	free(path);
	*ret_told = plain.data != NULL ? plain.data : xstrdup("");
	assert_true((config == NULL) != ((*ret_told)[0] == '\0'));
	return config;
}

static const char two[] = "destinations:\n"
			  "  home: {maildir: ./Maildir}\n"
			  "  mta: {smtp: localhost, recipient: [anna, bert]}\n"
			  "  relay: {smtp: relay.example, tls: starttls, user: u, password: {env: P}, recipient: a@b.example}\n"
			  "  near: {lmtp: /run/lmtp, recipient: anna}\n"
			  "  far: {lmtp: far.example, recipient: anna}\n"
			  "  sorted: {mda: [/bin/mda, '{recipient}'], recipient: anna}\n"
			  "defaults: {poll_every: 15m, user: anna, password: {env: P}, push: yes, deliver_to: [home, mta], ca_file: ./ca.pem}\n"
			  "mailboxes:\n"
			  "  - {name: one, imap: one.example, folders: [INBOX, Work], password: hunter2, after_delivery: {move_to: Done}}\n"
			  "  - {name: two, pop3: 'two.example:1995', user: bert, poll_every: 1h, deliver_to: sorted, first_run: new}\n"
			  "  - {name: three, imap: three.example, tls: starttls, push: no, recipients: x@y.example, sender: '', enabled: no}\n"
			  "sandbox: off\n"
			  "log: json\n";

static void test_complete(void **state)
{
	char *told, *maildir = xasprintf("%s/Maildir", dir), *ca_file = xasprintf("%s/ca.pem", dir);
	struct config *config = load(two, sizeof(two) - 1, 0640, &told);
	const struct mailbox_config *one, *pop, *three;

	(void)state;
	assert_string_equal(told, "");
	one = config_mailbox(config, "one");
	pop = config_mailbox(config, "two");
	three = config_mailbox(config, "three");
	assert_null(config_mailbox(config, "four"));
	assert_int_equal(config->mailbox_count, 3);
	assert_int_equal(config->destination_count, 6);
	assert_string_equal(config->state_dir, "/state");
	assert_string_equal(config->run_as, "mailhaul");
	assert_int_equal(config->sandbox, SANDBOX_OFF);
	assert_int_equal(config->log_format, LOG_FORMAT_JSON);
	assert_int_equal(config->max_workers, 0);

	assert_int_equal(one->protocol, PROTOCOL_IMAP);
	assert_int_equal(one->server.endpoint.port, 993);
	assert_int_equal(one->server.endpoint.tls, TLS_IMPLICIT);
	assert_string_equal(one->server.user, "anna");
	assert_int_equal(one->server.password.kind, PASSWORD_LITERAL);
	assert_string_equal(one->server.ca_file, ca_file);
	assert_int_equal(one->poll_every_s, 900);
	assert_true(one->push);
	assert_true(one->enabled);
	assert_int_equal(one->max_message, 150 << 20);
	assert_int_equal(one->after_delivery.what, DISPOSE_MOVE);
	assert_string_equal(one->after_delivery.folder, "Done");
	assert_int_equal(strv_length(one->folders), 2);
	assert_int_equal(strv_length(one->deliver_to), 2);
	assert_int_equal(one->line, 10);

	/* push and folders of the defaults do not bother a POP3 mailbox. */
	assert_int_equal(pop->protocol, PROTOCOL_POP3);
	assert_int_equal(pop->server.endpoint.port, 1995);
	assert_string_equal(pop->server.user, "bert");
	assert_int_equal(pop->server.password.kind, PASSWORD_ENV);
	assert_int_equal(pop->poll_every_s, 3600);
	assert_false(pop->push);
	assert_null(pop->folders);
	assert_int_equal(pop->first_run.what, FIRST_RUN_NEW);

	assert_int_equal(three->server.endpoint.port, 143);
	assert_int_equal(three->server.endpoint.tls, TLS_STARTTLS);
	assert_false(three->push);
	assert_false(three->enabled);
	assert_string_equal(three->folders[0], "INBOX");
	assert_string_equal(three->sender, "");

	assert_string_equal(config_destination(config, "home")->path, maildir);
	assert_int_equal(config_destination(config, "mta")->server.endpoint.tls, TLS_NONE);
	assert_int_equal(config_destination(config, "mta")->server.endpoint.port, 25);
	assert_int_equal(config_destination(config, "relay")->server.endpoint.port, 587);
	assert_int_equal(config_destination(config, "near")->server.endpoint.tls, TLS_NONE);
	assert_int_equal(config_destination(config, "near")->server.endpoint.port, 0);
	assert_int_equal(config_destination(config, "far")->server.endpoint.tls, TLS_IMPLICIT);
	assert_int_equal(config_destination(config, "far")->server.endpoint.port, 24);
	assert_null(config_recipients(one, config_destination(config, "home")));
	assert_string_equal(config_recipients(one, config_destination(config, "mta"))[1], "bert");
	assert_string_equal(config_recipients(three, config_destination(config, "mta"))[0], "x@y.example");
	assert_string_equal(config_recipients(three, config_destination(config, "sorted"))[0], "x@y.example");
	config_free(config);
	free(told);
	free(maildir);
	free(ca_file);
}

/* A destination and a mailbox without faults, to which a case adds its own. */
#define HOME "destinations: {home: {maildir: /m}}\n"
#define BOX HOME "mailboxes:\n- {name: a, imap: h, user: u, password: {env: P}, deliver_to: home}\n"
#define MAILBOX(keys) HOME "mailboxes:\n- {name: a, user: u, password: {env: P}, " keys "}\n"
#define DEST(keys) "mailboxes:\n- {name: a, imap: h, user: u, password: {env: P}, deliver_to: d}\ndestinations:\n  d: {" keys "}\n"

static void test_errors(void **state)
{
	static const struct {
		const char *yaml, *told;
	} cases[] = {
		{HOME, "1:1: the configuration needs the key 'mailboxes' (where mail is hauled from)\n"},
		{"mailboxes: []\ndestinations: {}\n", "1:12: mailboxes must be a list: each begins with '- name: ...'\n"},
		{HOME "mailboxes:\n", "2:11: mailboxes is empty; write at least one entry below it\n"},
		{HOME "mailboxes: {a: b}\n", "2:12: mailboxes must be a list: each begins with '- name: ...'\n"},
		{HOME "mailboxes: [a]\n", "2:13: a mailbox must be written as keys with values, like 'key: value'\n"},
		{BOX "mailbox: x\n", "4:1: the configuration has no key 'mailbox'; did you mean 'mailboxes'?\n"},
		{BOX "include: config.yaml\n", "4:1: the configuration has no key 'include' in this version; remove it\n"},
		{BOX "sandbox: on\n", "4:10: sandbox must be one of best, require, off, not 'on'\n"},
		{BOX "max_workers: 1001\n", "4:14: max_workers must be a number from 1 to 1000, not '1001'\n"},
		{BOX "state_dir: state\n",
			"4:12: state_dir: 'state' must begin with /, with ~/ (home directory) or with ./ (directory of this file)\n"},
		{BOX "defaults: {name: x, pol_every: 5m, push: maybe}\n", "4:12: 'name' cannot stand in the defaults; give it to each mailbox\n"
									  "4:21: a mailbox has no key 'pol_every'; did you mean 'poll_every'?\n"
									  "4:42: push must be yes or no, not 'maybe'\n"},
		{"- a\n", "1:1: the configuration must be written as keys with values, like 'key: value'\n"},
		{HOME "mailboxes:\n- {name: a, imap: h, deliver_to: home}\n", "3:3: a mailbox needs the key 'user' (the login name)\n"
									      "3:3: a mailbox needs the key 'password' (the password or token: "
									      "{file: PATH}, {command: [PROGRAM, ARGUMENT]}, {env: VARIABLE}, "
									      "{credential: ID}, or the text itself)\n"},
		{MAILBOX("imap: h"),
			"3:3: a mailbox needs the key 'deliver_to' (name of a destination, or a list; a message is done when all of them have it)\n"},
		{MAILBOX("deliver_to: home"), "3:3: a mailbox needs one of the keys imap, pop3\n"},
		{MAILBOX("deliver_to: home, imap: h, pop3: h"), "3:69: 'imap' and 'pop3' exclude each other; remove one of them\n"},
		{MAILBOX("deliver_to: hme, imap: h"), "3:54: mailbox a: there is no destination 'hme'; did you mean 'home'?\n"},
		{MAILBOX("deliver_to: [home, other], imap: h"), "3:61: mailbox a: there is no destination 'other'; add it under 'destinations'\n"},
		{MAILBOX("deliver_to: [home, home], imap: h"),
			"3:61: mailbox a: 'home' stands in 'deliver_to' twice; each message would come twice\n"},
		{MAILBOX("deliver_to: home, imap: h, on_refuse: {deliver_to: hme}"),
			"3:80: mailbox a: there is no destination 'hme'; did you mean 'home'?\n"},
		{MAILBOX("deliver_to: home, imap: h, on_refuse: {deliver_to: home}"),
			"3:80: mailbox a: 'home' stands in deliver_to already; name another destination for what is refused\n"},
		{MAILBOX("deliver_to: home, imap: h, on_refuse: bounce"), "3:80: on_refuse must be hold, delete or {deliver_to: DESTINATION}\n"},
		{HOME "mailboxes:\n- {name: a, imp: h, usr: u, pasword: hunter2, delivr_to: home}\n",
			"3:13: a mailbox has no key 'imp'; did you mean 'imap'?\n"
			"3:21: a mailbox has no key 'usr'; did you mean 'user'?\n"
			"3:29: a mailbox has no key 'pasword'; did you mean 'password'?\n"
			"3:47: a mailbox has no key 'delivr_to'; did you mean 'deliver_to'?\n"},
		{DEST("smtp: h, user: u, passwd: p, recipient: r"), "4:25: a destination has no key 'passwd'; did you mean 'password'?\n"},
		{MAILBOX("deliver_to: home, pop3: h, folders: [INBOX], push: yes"),
			"3:69: 'folders' has no meaning beside 'pop3'; remove it\n3:87: 'push' has no meaning beside 'pop3'; remove it\n"},
		{MAILBOX("deliver_to: home, pop3: h, after_delivery: mark_seen"),
			"3:85: mailbox a: POP3 knows no flags; write keep or delete instead of mark_seen, or use imap\n"},
		{MAILBOX("deliver_to: home, pop3: h, after_delivery: {move_to: x}"),
			"3:85: mailbox a: POP3 knows no folders; write keep or delete instead of move_to, or use imap\n"},
		{MAILBOX("deliver_to: home, imap: h, tls: none"),
			"3:74: mailbox a: tls: none sends everything, passwords included, in the clear; use implicit or "
			"starttls, or add 'insecure: yes' if the network is yours\n"},
		{MAILBOX("deliver_to: home, imap: 'bad host', tls: none"), "3:66: imap: 'bad host' is not a host name\n"},
		{MAILBOX("deliver_to: home, imap: /run/imap"), "3:66: imap: '/run/imap' is a path; write a host name\n"},
		{MAILBOX("deliver_to: home, imap: h, folders: [A, B, A]"), "3:85: mailbox a: folder 'A' stands here twice; remove one\n"},
		{MAILBOX("deliver_to: home, imap: h, folders: [INBOX, Inbox]"), "3:86: mailbox a: folder 'Inbox' stands here twice; remove one\n"},
		{MAILBOX("deliver_to: home, imap: h, after_delivery: {move_to: inbox}"),
			"3:85: mailbox a: 'inbox' is hauled itself (by mailbox a), so what is moved there would come again; move it elsewhere\n"},
		{MAILBOX("deliver_to: home, imap: h, recipients: [x, x]"),
			"3:85: mailbox a: 'x' stands in 'recipients' twice; each message would come twice\n"},
		{BOX "- {name: a, imap: h2, user: u, password: {env: P}, deliver_to: home}\n",
			"4:10: there is already a mailbox 'a' in line 3; choose another name\n"},
		{BOX "- {name: b, imap: 'H:993', user: u, password: {env: P}, deliver_to: home}\n",
			"4:3: mailbox b: folder 'INBOX' is hauled by mailbox a already; name it in one of them only (deliver_to may be a list)\n"},
		{BOX "- {name: b, imap: h, user: u, password: {env: P}, deliver_to: home, folders: Work, after_delivery: {move_to: INBOX}}\n",
			"4:100: mailbox b: 'INBOX' is hauled itself (by mailbox a), so what is moved there would come again; move it elsewhere\n"},
		{MAILBOX("deliver_to: home, pop3: h") "- {name: b, pop3: h, user: u, password: {env: P}, deliver_to: home}\n",
			"4:28: mailbox b is the same POP3 account as mailbox a; keep one of them (deliver_to may be a list)\n"},
		{DEST("smtp: localhost"),
			"2:63: mailbox a: destination 'd' does not say for whom mail is; add 'recipient' there, or 'recipients' here\n"},
		{DEST("mda: [/x, '{recipient}']"),
			"2:63: mailbox a: destination 'd' does not say for whom mail is; add 'recipient' there, or 'recipients' here\n"},
		{DEST("mda: [/x], recipient: r"), "4:29: destination d: 'recipient' has no meaning, since 'mda' does not hold \"{recipient}\"; add "
						  "it there, or remove 'recipient'\n"},
		{DEST("mda: [x]"),
			"4:13: destination d: the program must be written with its whole path, like /usr/lib/dovecot/dovecot-lda, not 'x'\n"},
		{DEST("mda: [/x, '--to={recipient}']"),
			"4:17: destination d: {recipient} and {sender} must be arguments of their own, not part of '--to={recipient}'\n"},
		{DEST("mda: [/x, '{from}']"), "4:17: destination d: there is no placeholder '{from}', only {recipient} and {sender}\n"},
		{DEST("mda: ['{sender}']"), "4:13: destination d: the program cannot be a placeholder\n"},
		{DEST("smtp: h, tls: none, recipient: r"),
			"4:21: destination d: tls: none sends everything, passwords included, in the clear; use implicit or "
			"starttls, or add 'insecure: yes' if the network is yours\n"},
		{DEST("lmtp: /s, tls: starttls, recipient: r"), "4:22: destination d: there is no TLS on a unix socket; remove 'tls'\n"},
		{DEST("smtp: h, user: u, recipient: r"), "4:22: destination d: 'user' needs a 'password' beside it\n"},
		{DEST("smtp: h, password: {env: P}, recipient: r"), "4:26: destination d: 'password' needs a 'user' beside it\n"},
		{DEST("smtp: h, auth: plain, recipient: r"), "4:22: destination d: 'auth' needs 'user' and 'password' beside it\n"},
		{DEST("smtp: h, recipient: [r, r]"), "4:31: destination d: 'r' stands in 'recipient' twice; each message would come twice\n"},
		{MAILBOX("deliver_to: home, imap: h, was: a"),
			"3:74: mailbox a: it cannot have been renamed from 'a' to the same name; remove 'was'\n"},
		{MAILBOX("deliver_to: home, imap: h, was: '*'"),
			"3:74: was: '*' is no name: letters, digits and . _ - may stand in it, and it begins with a letter or digit\n"},
		{BOX "- {name: b, imap: h2, was: a, user: u, password: {env: P}, deliver_to: home}\n",
			"4:28: mailbox b: there still is a mailbox 'a', so this one cannot be it; remove 'was', or the other one\n"},
		{BOX "- {name: b, imap: h2, was: x, user: u, password: {env: P}, deliver_to: home}\n"
		     "- {name: c, imap: h3, was: x, user: u, password: {env: P}, deliver_to: home}\n",
			"5:28: mailbox c: two mailboxes cannot both have been 'x'\n"},
		{DEST("maildir: /x, was: d"), "4:25: destination d: it cannot have been renamed from 'd' to the same name; remove 'was'\n"},
		{BOX "destinations: {x: {maildir: /x}}\n",
			"4:1: this key or name stands here twice, first in line 1; remove or rename one of them\n"},
		{"destinations: {-x: {maildir: /x}}\nmailboxes:\n- {name: a, imap: h, user: u, password: {env: P}, deliver_to: home}\n",
			"1:16: '-x' is no name: letters, digits and . _ - may stand in it, and it begins with a letter or digit\n"
			"3:63: mailbox a: there is no destination 'home'; add it under 'destinations'\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *told;

		config_free(load(cases[i].yaml, strlen(cases[i].yaml), 0644, &told));
		if (strcmp(told, cases[i].told) != 0)
			fail_msg("case %zu:\n%s\nwanted:\n%s\ngot:\n%s", i, cases[i].yaml, cases[i].told, told);
		free(told);
	}
}

static void test_fine(void **state)
{
	static const char *const cases[] = {
		BOX,
		MAILBOX("deliver_to: home, imap: h, tls: none, insecure: yes"),
		MAILBOX("deliver_to: home, imap: localhost, tls: none"),
		MAILBOX("deliver_to: home, pop3: '[::1]', tls: none"),
		MAILBOX("deliver_to: home, imap: h") "- {name: b, imap: 'h:143', tls: starttls, user: u, password: {env: P}, deliver_to: home}\n",
		MAILBOX("deliver_to: home, imap: h") "- {name: b, imap: h, user: U, password: {env: P}, deliver_to: home}\n",
		MAILBOX("deliver_to: home, imap: h") "- {name: b, imap: h, user: u, folders: Work, password: {env: P}, deliver_to: home}\n",
		MAILBOX("deliver_to: home, imap: h") "- {name: b, imap: h, user: u, enabled: no, password: {file: /missing}, deliver_to: home}\n",
		MAILBOX("deliver_to: home, pop3: h") "- {name: b, imap: h, user: u, password: {env: P}, deliver_to: home}\n",
		MAILBOX("deliver_to: home, pop3: h") "defaults: {imap: x, folders: A, tls: starttls, pin_sha256: "
						     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}\n",
		MAILBOX("deliver_to: home") "defaults: {pop3: h}\n",
		DEST("smtp: 127.0.0.1, recipient: r"),
		DEST("smtp: h, tls: none, insecure: yes, recipient: r"),
		DEST("mda: [/x, '{recipient}', -f, '{sender}'], recipient: [r, s], sender: <>"),
		"\xEF\xBB\xBF"
		"destinations: {home: {maildir: /m}}\r\nmailboxes:\r\n- {name: a, imap: h, user: u, password: {env: P}, deliver_to: home}\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *told;

		config_free(load(cases[i], strlen(cases[i]), 0644, &told));
		if (told[0] != '\0')
			fail_msg("case %zu: %s", i, told);
		free(told);
	}
}

static void test_too_many_targets(void **state)
{
	struct str yaml = {0};
	char *told;

	(void)state;
	str_add_text(&yaml, "mailboxes:\n- {name: a, imap: h, user: u, password: {env: P}, deliver_to: [m, d]}\ndestinations:\n  m: {maildir: /m}\n  "
			    "d: {smtp: localhost, recipient: [r0");
	for (int i = 1; i < 63; i++)
		str_addf(&yaml, ", r%d", i);
	str_add_text(&yaml, "]}\n");
	config_free(load(yaml.data, yaml.len, 0644, &told));
	assert_string_equal(told, "");
	free(told);
	yaml.len -= 3;
	str_add_text(&yaml, ", r]}\n");
	config_free(load(yaml.data, yaml.len, 0644, &told));
	assert_string_equal(told, "2:64: mailbox a: each message would go to 65 recipients; at most 64 are possible\n");
	free(told);
	str_done(&yaml);
}

/* A configuration cut off anywhere is an error or a configuration, never a crash. */
static void test_truncated(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof(two); len++) {
		char *told;

		config_free(load(two, len, 0600, &told));
		free(told);
	}
}

static void test_unusable_files(void **state)
{
	static const struct {
		const char *path, *told;
	} cases[] = {
		{"/nonexistent/c.yaml", "/nonexistent/c.yaml: cannot be opened: No such file or directory\n"},
		{"/", "/: is not a regular file\n"},
		{"/dev/null", "/dev/null: is not a regular file\n"},
		{"", ": is not a regular file\n"},
	};
	char *told;
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		FILE *out = open_memstream(&told, &len);

		assert_null(config_load(cases[i].path, NULL, out));
		fclose(out);
		assert_string_equal(told, cases[i].told);
		free(told);
	}
}

static void test_large_file(void **state)
{
	char *text = xmalloc(YAML_MAX_BYTES + 1), *told;

	(void)state;
	memset(text, '#', YAML_MAX_BYTES + 1);
	config_free(load(text, YAML_MAX_BYTES + 1, 0600, &told));
	assert_string_equal(told, " is larger than 1048576 bytes\n");
	free(told);
	config_free(load(text, YAML_MAX_BYTES, 0600, &told));
	assert_non_null(strstr(told, "the file is empty"));
	free(told);
	free(text);
}

static void test_literal_password_mode(void **state)
{
	static const char literal[] = HOME "mailboxes:\n- {name: a, imap: h, user: u, password: hunter2, deliver_to: home}\n";
	static const char in_defaults[] = "defaults: {password: hunter2}\n" BOX;
	static const char *const cases[] = {literal, in_defaults};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *told;

		config_free(load(cases[i], strlen(cases[i]), 0640, &told));
		assert_string_equal(told, "");
		free(told);
		config_free(load(cases[i], strlen(cases[i]), 0644, &told));
		assert_non_null(strstr(told, "holds a password and is open to every user of this machine; run: chmod o-rwx "));
		free(told);
	}
}

static void test_owner(void **state)
{
	static const struct {
		uid_t uid, owner;
		mode_t mode;
		const char *word;
	} cases[] = {
		{0, -1, S_IFREG | 0600, NULL},
		{0, -1, S_IFREG | 0640, NULL},
		{0, -1, S_IFREG | 0644, "chmod o-rwx /pw"},
		{0, -1, S_IFREG | 0602, "chmod o-rwx /pw"},
		{54321, -1, S_IFREG | 0600, "belongs to somebody else (user number 54321); run: chown "},
		{54321, 54321, S_IFREG | 0600, NULL},
		{54321, 12345, S_IFREG | 0600, "belongs to somebody else"},
		{0, -1, S_IFIFO | 0600, "not a regular file"},
		{0, -1, S_IFDIR | 0700, "not a regular file"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct stat st = {.st_uid = cases[i].uid, .st_mode = cases[i].mode};
		struct error err = {0};

		assert_int_equal(password_check_owner("/pw", &st, cases[i].owner, &err), cases[i].word == NULL ? 0 : -1);
		if (cases[i].word != NULL) {
			assert_non_null(strstr(err.text, cases[i].word));
			assert_int_equal(err.kind, ERR_CONFIG);
		}
	}
}

static void test_password_files(void **state)
{
	static const char yaml[] = HOME "mailboxes:\n- {name: a, imap: h, user: u, password: {file: ./pw}, deliver_to: home}\n";
	char *told, *path;
	struct error err;

	(void)state;
	config_free(load(yaml, sizeof(yaml) - 1, 0644, &told));
	assert_non_null(strstr(told, "3:48: the password file /tmp/mailhaul-config-"));
	assert_non_null(strstr(told, "/pw does not exist; write the password into its first line\n"));
	free(told);
	path = write_file("pw", "x\n", 2, 0640);
	config_free(load(yaml, sizeof(yaml) - 1, 0644, &told));
	assert_string_equal(told, "");
	free(told);
	assert_int_equal(chmod(path, 0604), 0);
	config_free(load(yaml, sizeof(yaml) - 1, 0644, &told));
	assert_non_null(strstr(told, "run: chmod o-rwx /tmp/"));
	free(told);
	/* Root may read everything: as somebody else for a moment. */
	assert_int_equal(chmod(path, 0), 0);
	if (getuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	assert_int_equal(password_check_file(path, (uid_t)-1, &err), -1);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	assert_non_null(strstr(err.text, "cannot be read by user number"));
	unlink(path);
	free(path);
}

static void test_first_line(void **state)
{
	static char longest[SECRET_MAX_BYTES + 3];
	const struct {
		const char *bytes;
		size_t len;
		const char *password; /* NULL: refused */
	} cases[] = {
#define CASE(bytes, password) {bytes, sizeof(bytes) - 1, password}
		CASE("secret", "secret"),
		CASE("secret\n", "secret"),
		CASE("secret\r\n", "secret"),
		CASE("secret\nuser: anna\0\r\n", "secret"),
		CASE(" a b\t \n", " a b\t "),
		CASE("", NULL),
		CASE("\n", NULL),
		CASE("\r\n", NULL),
		CASE("\nsecret\n", NULL),
		CASE("sec\ret\n", NULL),
		CASE("secret\r", NULL),
		CASE("sec\0ret\n", NULL),
		{longest, SECRET_MAX_BYTES, longest},
		{longest, SECRET_MAX_BYTES + 1, NULL},
#undef CASE
	};

	(void)state;
	memset(longest, 'x', sizeof(longest));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = {0};
		char *copy = xmalloc(cases[i].len);
		struct secret *secret;

		memcpy(copy, cases[i].bytes, cases[i].len);
		secret = password_first_line(copy, cases[i].len, "F", &err);
		if ((secret == NULL) != (cases[i].password == NULL))
			fail_msg("case %zu: %s", i, err.text);
		if (secret != NULL)
			assert_memory_equal(secret_bytes(secret), cases[i].password, secret_length(secret));
		else
			assert_non_null(strstr(err.text, "F"));
		assert_null(strstr(err.text, "sec"));
		secret_free(secret);
		free(copy);
	}
}

static void expect_password(struct password password, const char *expected)
{
	struct error err;
	struct secret *secret = password_read(&password, &err);

	if (secret == NULL)
		fail_msg("%s", err.text);
	assert_int_equal(secret_length(secret), strlen(expected));
	assert_string_equal(secret_bytes(secret), expected);
	secret_free(secret);
}

static void test_password_read(void **state)
{
	static char variable[] = "MAILHAUL_TEST_PASSWORD", id[] = "pw";
	struct password file = {.kind = PASSWORD_FILE}, env = {.kind = PASSWORD_ENV, .name = variable};
	struct password credential = {.kind = PASSWORD_CREDENTIAL, .name = id}, literal = {.kind = PASSWORD_LITERAL};
	static char large[SECRET_MAX_BYTES + 100];
	struct error err;

	(void)state;
	literal.literal = secret_new("four", 4);
	expect_password(literal, "four");
	secret_free(literal.literal);

	file.name = write_file("pw", "one\nsecond line\n", 16, 0600);
	expect_password(file, "one");
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", dir, 1), 0);
	expect_password(credential, "one");
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	assert_null(password_read(&credential, &err));
	assert_non_null(strstr(err.text, "LoadCredential=pw:"));

	assert_int_equal(chmod(file.name, 0644), 0); /* it may have changed since the configuration was loaded */
	assert_null(password_read(&file, &err));
	assert_non_null(strstr(err.text, "chmod o-rwx"));
	free(file.name);
	memset(large, 'x', sizeof(large));
	file.name = write_file("pw", large, sizeof(large), 0600);
	assert_null(password_read(&file, &err));
	assert_non_null(strstr(err.text, "longer than 16384 bytes"));
	unlink(file.name);
	assert_null(password_read(&file, &err));
	assert_non_null(strstr(err.text, "does not exist"));
	free(file.name);

	assert_int_equal(setenv(env.name, "two words", 1), 0);
	expect_password(env, "two words");
	assert_int_equal(unsetenv(env.name), 0);
	assert_null(password_read(&env, &err));
	assert_non_null(strstr(err.text, "MAILHAUL_TEST_PASSWORD, which should hold the password, is not set"));
}

/* option beats the file, the file beats the place of the file, that beats the environment. */
static void test_state_dir(void **state)
{
	static const struct {
		const char *below, *option, *key, *xdg, *home, *expected; /* below: put in front of the path of the file */
	} cases[] = {
		{"", "/option", "/key", "/xdg", "/home/u", "/option"},
		{"", NULL, "/key", "/xdg", "/home/u", "/key"},
		{"", NULL, "~/key", "/xdg", "/home/u", "/home/u/key"},
		{"", NULL, NULL, "/xdg", "/home/u", "/xdg/mailhaul"},
		{"", NULL, NULL, "relative", "/home/u", "/home/u/.local/state/mailhaul"},
		{"", NULL, NULL, NULL, "/home/u", "/home/u/.local/state/mailhaul"},
		{"/etc/..", NULL, NULL, "/xdg", "/home/u", "/var/lib/mailhaul"},
		{"/etc/..", NULL, "/key", "/xdg", "/home/u", "/key"},
	};
	char *home = xstrdup(getenv("HOME") != NULL ? getenv("HOME") : "/");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *yaml = xasprintf(BOX "%s%s\n", cases[i].key != NULL ? "state_dir: " : "", cases[i].key != NULL ? cases[i].key : "");
		char *real = write_file("config.yaml", yaml, strlen(yaml), 0600), *path = xasprintf("%s%s", cases[i].below, real);
		struct config *config;

		setenv("HOME", cases[i].home, 1);
		if (cases[i].xdg != NULL)
			setenv("XDG_STATE_HOME", cases[i].xdg, 1);
		else
			unsetenv("XDG_STATE_HOME");
		config = config_load(path, cases[i].option, stderr);
		assert_non_null(config);
		assert_string_equal(config->file, path);
		assert_string_equal(config->state_dir, cases[i].expected);
		config_free(config);
		free(path);
		free(real);
		free(yaml);
	}
	setenv("HOME", home, 1);
	free(home);
}

static void make_directory(const char *name)
{
	char *path = xasprintf("%s/%s", dir, name);

	assert_int_equal(mkdir(path, 0700), 0);
	free(path);
}

static void test_search(void **state)
{
	char *old_home = xstrdup(getenv("HOME") != NULL ? getenv("HOME") : "/"), *home = xasprintf("%s/home", dir);
	char *xdg = xasprintf("%s/home/.config", dir), *file;
	struct config *config;

	(void)state;
	make_directory("home");
	make_directory("home/.config");
	make_directory("home/.config/mailhaul");
	file = write_file("home/.config/mailhaul/config.yaml", BOX, sizeof(BOX) - 1, 0600);
	unsetenv("XDG_CONFIG_HOME");
	setenv("HOME", home, 1);
	config = config_load(NULL, NULL, stderr);
	assert_non_null(config);
	assert_string_equal(config->file, file);
	config_free(config);
	setenv("HOME", "/nonexistent", 1);
	setenv("XDG_CONFIG_HOME", xdg, 1);
	config = config_load(NULL, NULL, stderr);
	assert_non_null(config);
	assert_string_equal(config->file, file);
	config_free(config);
	unsetenv("XDG_CONFIG_HOME");
	setenv("HOME", old_home, 1);
	free(file);
	free(xdg);
	free(home);
	free(old_home);
}

static char *shipped(const char *name)
{
	const char *top = getenv("abs_top_srcdir");

	return xasprintf("%s/config/%s", top != NULL ? top : ".", name);
}

static void test_shipped_files(void **state)
{
	static const char *const names[] = {"example.yaml", "demo.yaml"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char *path = shipped(names[i]);
		struct config *config = config_load(path, NULL, stderr);

		assert_non_null(config);
		config_free(config);
		free(path);
	}
}

static void expect_keys(const struct schema *schema, const char *text)
{
	for (size_t i = 0; i < schema->count; i++) {
		char *key = xasprintf("%s:", schema->keys[i].name);

		if ((schema->keys[i].flags & KEY_HIDDEN) == 0 && strstr(text, key) == NULL)
			fail_msg("config/example.yaml does not show '%s'", schema->keys[i].name);
		free(key);
	}
}

static void test_example_shows_every_key(void **state)
{
	char *path = shipped("example.yaml"), *text = xcalloc(YAML_MAX_BYTES, 1);
	FILE *file = fopen(path, "r");

	(void)state;
	assert_non_null(file);
	assert_true(fread(text, 1, YAML_MAX_BYTES - 1, file) > 0);
	expect_keys(&schema_top, text);
	expect_keys(&schema_mailbox, text);
	expect_keys(&schema_destination, text);
	fclose(file);
	free(text);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_fine),
		cmocka_unit_test(test_too_many_targets),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_unusable_files),
		cmocka_unit_test(test_large_file),
		cmocka_unit_test(test_literal_password_mode),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_password_files),
		cmocka_unit_test(test_first_line),
		cmocka_unit_test(test_password_read),
		cmocka_unit_test(test_state_dir),
		cmocka_unit_test(test_search),
		cmocka_unit_test(test_shipped_files),
		cmocka_unit_test(test_example_shows_every_key),
	};

	return cmocka_run_group_tests_name("config", tests, setup, teardown);
}

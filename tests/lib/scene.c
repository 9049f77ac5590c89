#include "tests/lib/scene.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

const struct step scene_greets[] = {S("* OK [" SCENE_CAPS "] ready"), C("%1 LOGIN \"anna\" \"secret\""), END};
const struct step scene_logs_in[] = {PLAY(scene_greets), S("%1 OK [" SCENE_CAPS "] in"), END};
const struct step scene_logs_in_again[] = {
	PLAY(scene_greets), C("%9 CAPABILITY"), S("%1 OK [" SCENE_CAPS "] in"), S("* " SCENE_CAPS), S("%9 OK"), END};
const struct step scene_shows_nothing[] = {S("* 0 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 1] ok"), END};
const struct step scene_finds_nothing[] = {C("%2 EXAMINE \"INBOX\""), PLAY(scene_shows_nothing), S("%2 OK done"), END};
const struct step scene_leaves[] = {C("DONE"), C("* LOGOUT"), END};
const struct step scene_logs_out[] = {C("%9 LOGOUT"), S("* BYE see you"), S("%9 OK"), END};

void scene_begin(struct scene *scene, const struct step *script, const char *factor, const char *host, const char *mailbox, const char *others)
{
	*scene = (struct scene){.peer = peer_start(script, PEER_LISTEN)};
	agent_init(&scene->agent);
	scene->agent.deadline_factor = factor;
	agent_configure(&scene->agent,
		"destinations:\n  home: {maildir: %s/home}\n"
		"defaults: {tls: none, insecure: yes, user: anna, password: secret, deliver_to: home}\n"
		"max_per_host: 3\n"
		"mailboxes:\n  - {name: isp, imap: \"%s:%u\", %s}\n%s",
		scene->agent.dir, host, scene->peer->port, mailbox, others);
	agent_start(&scene->agent, (const char *const[]){"daemon", "-v", "--trace", "isp", NULL});
}

void scene_leave(struct scene *scene, unsigned mails)
{
	kill(scene->agent.pid, SIGTERM);
	agent_expect_end(&scene->agent, 0);
	peer_finish(scene->peer);
	assert_int_equal(agent_mail(&scene->agent, "new", NULL), mails);
}

void scene_end(struct scene *scene)
{
	agent_done(&scene->agent);
}

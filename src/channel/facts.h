/* facts.h - what earlier sessions have learned about a server and about a folder, as a worker is told and reports it.
 * Facts are hints: they save round trips, and a server that has changed costs some. None decides what is believed or whom a password goes to: TLS is
 * verified and STARTTLS is asked for whatever they say, and what was said before STARTTLS never becomes one. */
#ifndef MAILHAUL_CHANNEL_FACTS_H
#define MAILHAUL_CHANNEL_FACTS_H

#include <stdbool.h>
#include <stdint.h>

/* What becomes of commands that are sent behind the login, before its answer. Some servers lose them: the process that logs in hands the connection,
 * but not what it has read ahead, to another one (Courier, many proxies). */
enum login_boundary { BOUNDARY_UNKNOWN, BOUNDARY_SAFE, BOUNDARY_UNSAFE };

struct host_facts {
	bool known;             /* the next three mean something */
	uint32_t before, after; /* capabilities before and after login: bits of the protocol's own, which never change their meaning */
	uint32_t mechanisms;    /* offered before login, as in sasl.h */
	enum login_boundary boundary;
	uint32_t login_delay_s; /* POP3: what has to lie between two logins; 0: the server does not say */
	uint32_t idle_s;        /* IMAP: for how long a connection may be silent and live, as far as is known; 0: nothing was learned */
};

static inline bool host_facts_equal(const struct host_facts *a, const struct host_facts *b)
{
	return a->known == b->known && a->before == b->before && a->after == b->after && a->mechanisms == b->mechanisms &&
	       a->boundary == b->boundary && a->login_delay_s == b->login_delay_s && a->idle_s == b->idle_s;
}

/* What a folder looks like as long as there is nothing to do in it. */
struct folder_facts {
	bool settled; /* all that was listed is done with for now, and no complete listing is due: the rest means something */
	uint64_t uidvalidity, mark;
	uint32_t present; /* messages it holds */
	bool has_listing;
	uint8_t listing[32]; /* POP3: SHA-256 of the server's whole answer to UIDL */
};

#endif

#include "policy/policy.h"

#include "base/mem.h"

#define KINDS (ERR_CANCELED + 1)

/* The table's words. */
enum {
	NONE = ACTION_NONE,
	RETRY = ACTION_RETRY,
	HOLD = ACTION_HOLD,
	FOLDER = ACTION_SKIP_FOLDER,
	DEST = ACTION_STOP_DESTINATION,
	END = ACTION_END_SESSION,
	LOGIN = ACTION_END_LOGIN,
	QUIT = ACTION_END_PROGRAM,
};

/* Pairs that make no sense (a handshake that concerns one message) fall back to what the scope can bear. The program is busy (TEMP) while another
 * mailhaul holds the state: soon it will not. */
/* clang-format off */
static const unsigned char actions[][KINDS] = {
	/*                     NONE  TEMP    AUTH    TLS    PROTO   REFUSED LOCAL   CONFIG  CANCELED */
	[SCOPE_MESSAGE]     = {NONE, RETRY,  RETRY,  RETRY, RETRY,  HOLD,   RETRY,  HOLD,   END},
	[SCOPE_RECIPIENT]   = {NONE, RETRY,  RETRY,  RETRY, RETRY,  HOLD,   RETRY,  HOLD,   END},
	[SCOPE_FOLDER]      = {NONE, FOLDER, FOLDER, END,   FOLDER, FOLDER, FOLDER, FOLDER, END},
	[SCOPE_MAILBOX]     = {NONE, END,    LOGIN,  END,   END,    END,    END,    END,    END},
	[SCOPE_DESTINATION] = {NONE, DEST,   DEST,   DEST,  DEST,   DEST,   DEST,   DEST,   END},
	[SCOPE_PROGRAM]     = {NONE, END,    QUIT,   QUIT,  QUIT,   QUIT,   QUIT,   QUIT,   END},
};
/* clang-format on */

enum action policy_action(enum error_kind kind, enum error_scope scope)
{
	/* Both numbers have crossed a channel: what we do not know is treated like a peer that broke its protocol. */
	if ((unsigned)kind >= KINDS || (unsigned)scope >= ARRAY_SIZE(actions))
		return ACTION_END_SESSION;
	return actions[scope][kind];
}

int policy_exit_code(enum error_kind kind, enum error_scope scope)
{
	enum { WELL = 0, INTERNAL = 70, STATE_IO = 74, LATER = 75, REFUSED = 77, CONFIGURATION = 78 }; /* sysexits.h */

	switch (kind) {
	case ERR_NONE:
		return WELL;
	case ERR_CONFIG:
		return CONFIGURATION;
	case ERR_AUTH:
		return scope == SCOPE_MESSAGE || scope == SCOPE_RECIPIENT ? LATER : REFUSED;
	case ERR_CANCELED:
		return LATER;
	case ERR_LOCAL:
		if (scope == SCOPE_PROGRAM)
			return STATE_IO;
		break;
	case ERR_PROTO:
		if (scope == SCOPE_PROGRAM)
			return INTERNAL;
		break;
	case ERR_REFUSED:
		if (scope == SCOPE_MESSAGE || scope == SCOPE_RECIPIENT)
			return WELL; /* held: listed, and no failure of the run */
		return scope == SCOPE_PROGRAM ? INTERNAL : LATER;
	case ERR_TEMP:
	case ERR_TLS:
		break;
	}
	return LATER;
}

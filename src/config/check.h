/* check.h - what single texts of the configuration must look like.
 * Each returns NULL, or what is wrong, as the end of a sentence that begins with the text. */
#ifndef MAILHAUL_CONFIG_CHECK_H
#define MAILHAUL_CONFIG_CHECK_H

const char *check_name(const char *text);    /* of a mailbox, a destination, a user: [A-Za-z0-9][A-Za-z0-9._-]{0,63} */
const char *check_folder(const char *text);  /* a literal IMAP mailbox name (RFC 9051 5.1) */
const char *check_address(const char *text); /* an envelope recipient */
const char *check_sender(const char *text);  /* an envelope sender; "" and "<>" are the null sender */

#endif

#include "config/endpoint.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"

#define HOST_MAX 253 /* RFC 1035 2.3.4, written with dots */
#define LABEL_MAX 63

/* A name of which the last label is a number is meant as an IPv4 address (WHATWG URL 3.5), and has to be one. */
static const char *check_ipv4(const char *host)
{
	const char *dot = strrchr(host, '.'), *last = dot != NULL ? dot + 1 : host;
	struct in_addr address;

	if (last[strspn(last, "0123456789")] != '\0' || inet_pton(AF_INET, host, &address) == 1)
		return NULL;
	return "is not a complete IPv4 address";
}

static const char *check_host(const char *host)
{
	size_t label = 0;

	if (host[0] == '\0')
		return "has no host name";
	if (strlen(host) > HOST_MAX)
		return "is longer than a host name may be";
	for (const char *at = host; *at != '\0'; at++) {
		unsigned char byte = (unsigned char)*at;
		bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');

		if (byte >= 0x80)
			return "is an internationalised name; write its ASCII form, in which labels begin with xn-- (idn2 prints it)";
		if (byte == '.' ? label == 0 : !letter && byte != '-' && byte != '_')
			return "is not a host name";
		if (byte == '-' && label == 0)
			return "is not a host name: a label begins with a hyphen";
		label = byte == '.' ? 0 : label + 1;
		if (label > LABEL_MAX)
			return "is not a host name: a label has more than 63 characters";
	}
	return label == 0 ? "is not a host name: it ends with a dot" : check_ipv4(host);
}

static const char *parse_port(const char *text, uint16_t *ret_port)
{
	unsigned long long port;

	if (!parse_u64(text, strlen(text), UINT16_MAX, &port) || port == 0)
		return "has no valid port behind the colon; it is a number from 1 to 65535";
	*ret_port = (uint16_t)port;
	return NULL;
}

static const char *parse_ipv6(const char *text, struct endpoint *ret)
{
	const char *end = strchr(text, ']');
	struct in6_addr address;
	const char *wrong = NULL;
	char *host;

	if (end == NULL)
		return "has a [ without ]";
	host = xstrndup(text + 1, (size_t)(end - text - 1));
	if (inet_pton(AF_INET6, host, &address) != 1)
		wrong = "has no IPv6 address between [ and ]";
	else if (end[1] == ':')
		wrong = parse_port(end + 2, &ret->port);
	else if (end[1] != '\0')
		wrong = "goes on behind ]; only a colon and a port may stand there";
	if (wrong == NULL)
		ret->host = host;
	else
		free(host);
	return wrong;
}

static const char *parse_name(const char *text, struct endpoint *ret)
{
	const char *colon = strchr(text, ':');
	const char *wrong = NULL;
	char *host;

	if (strstr(text, "://") != NULL)
		return "is a URL; write the host alone, without the part before and with ://";
	if (colon != NULL && strchr(colon + 1, ':') != NULL)
		return "looks like an IPv6 address; write it in brackets: \"[2001:db8::1]:993\"";
	host = colon != NULL ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
	if (colon != NULL)
		wrong = parse_port(colon + 1, &ret->port);
	if (wrong == NULL)
		wrong = check_host(host);
	if (wrong == NULL)
		ret->host = host;
	else
		free(host);
	return wrong;
}

static void lower_case(char *host)
{
	for (; *host != '\0'; host++)
		if (*host >= 'A' && *host <= 'Z')
			*host = (char)(*host + 32);
}

const char *endpoint_parse(const char *text, struct endpoint *ret_endpoint)
{
	struct endpoint parsed = {.tls = ret_endpoint->tls};
	const char *wrong = NULL;

	if (text[0] == '/' && strlen(text) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		wrong = "is longer than the path of a unix socket may be (107 bytes)";
	else if (text[0] == '/')
		parsed.path = xstrdup(text);
	else
		wrong = text[0] == '[' ? parse_ipv6(text, &parsed) : parse_name(text, &parsed);
	if (wrong != NULL)
		return wrong;
	if (parsed.host != NULL)
		lower_case(parsed.host);
	*ret_endpoint = parsed;
	return NULL;
}

void endpoint_clear(struct endpoint *endpoint)
{
	free(endpoint->host);
	free(endpoint->path);
	*endpoint = (struct endpoint){.tls = endpoint->tls};
}

bool endpoint_is_local(const struct endpoint *endpoint)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (endpoint->path != NULL)
		return true;
	if (inet_pton(AF_INET, endpoint->host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, endpoint->host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	return ascii_equal_nocase(endpoint->host, "localhost");
}

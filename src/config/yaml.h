/* yaml.h - a YAML file as a tree of nodes that know where they stand. YAML 1.1 as libyaml reads it, less what only hides mistakes in a configuration:
 * no anchors and aliases, no tags, no duplicate keys, no second document. A byte order mark and CRLF line ends are fine.
 * Nodes may hold passwords: their texts are wiped when they are freed. */
#ifndef MAILHAUL_CONFIG_YAML_H
#define MAILHAUL_CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "config/problems.h"

#define YAML_MAX_BYTES (1024 * 1024)
#define YAML_MAX_DEPTH 32

enum node_kind { NODE_TEXT, NODE_LIST, NODE_MAP };

struct node {
	enum node_kind kind;
	bool plain;      /* NODE_TEXT: written without quotes */
	char *text;      /* NODE_TEXT: UTF-8; holds no NUL but the last */
	struct place at; /* of the value */
	char *key;       /* of an entry of a map, else NULL */
	struct place key_at;
	struct node *first, *next; /* entries of a list or map, in the order of the file */
};

/* The caller frees the tree. NULL after at least one problem: the file cannot be understood. There may be problems beside a tree, too (duplicate
 * keys). */
struct node *yaml_parse(const char *bytes, size_t len, struct problems *problems);
void node_free(struct node *node); /* NULL is fine */

/* "key:" with nothing behind it, or an unquoted ~ or null. */
bool node_is_null(const struct node *node);
/* Entry number index of a list; the node itself if it is no list: where one thing is wanted or several, one may stand without brackets. */
const struct node *node_item(const struct node *node, size_t index);

#endif

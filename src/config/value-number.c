/* Values that are numbers in the end: yes and no, words of an enumeration, counts, times and sizes. */
#include "config/value.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "config/code.h"
#include "config/config.h"
#include "config/schema.h"
#include "config/yaml.h"

static bool read_bool(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	const char *text = value_text(key->name, node, false, reading);
	bool yes;

	if (text == NULL)
		return false;
	yes = ascii_equal_nocase(text, "yes") || ascii_equal_nocase(text, "true");
	if (!yes && !ascii_equal_nocase(text, "no") && !ascii_equal_nocase(text, "false")) {
		problems_add(reading->problems, node->at, "%s must be yes or no, not '%.80s'", key->name, text);
		return false;
	}
	*(bool *)value = yes;
	return true;
}

static void encode_bool(const struct schema_key *key, const void *value, struct str *out)
{
	(void)key;
	encode_u32(out, *(const bool *)value);
}

static bool decode_bool(const struct schema_key *key, struct decoder *in, void *value)
{
	uint32_t number;

	(void)key;
	if (!decode_u32(in, 1, &number))
		return false;
	*(bool *)value = number != 0;
	return true;
}

static void clear_bool(void *value)
{
	*(bool *)value = false;
}

static void print_bool(const struct schema_key *key, FILE *out)
{
	(void)key;
	fputs("\"enum\": [true, false, \"yes\", \"no\"]", out); /* YAML 1.2 editors take yes for a text */
}

const struct value_type type_bool = {read_bool, encode_bool, decode_bool, clear_bool, print_bool};

/* Enumerations are read and written through unsigned, which GCC and clang give every enum without negative values. */
_Static_assert(sizeof(enum tls_mode) == sizeof(unsigned) && sizeof(enum log_format) == sizeof(unsigned), "an enum is an unsigned int");

static void join_words(const struct value_word *words, const char *before, const char *after, struct str *out)
{
	for (const struct value_word *word = words; word->word != NULL; word++)
		str_addf(out, "%s%s%s%s", word == words ? "" : ", ", before, word->word, after);
}

/* The value of a word; false: it is none of them. */
static bool find_word(const struct schema_key *key, const char *text, unsigned *ret_value)
{
	for (const struct value_word *word = key->words; word->word != NULL; word++)
		if (strcmp(word->word, text) == 0) {
			*ret_value = word->value;
			return true;
		}
	return false;
}

static void say_which_words(const struct schema_key *key, const struct node *node, const char *text, struct reading *reading)
{
	struct str all = {0};

	join_words(key->words, "", "", &all);
	problems_add(reading->problems, node->at, "%s must be one of %s, not '%.80s'", key->name, all.data, text);
	str_done(&all);
}

static bool read_word(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	const char *text = value_text(key->name, node, false, reading);

	if (text == NULL)
		return false;
	if (find_word(key, text, value))
		return true;
	say_which_words(key, node, text, reading);
	return false;
}

static void encode_word(const struct schema_key *key, const void *value, struct str *out)
{
	(void)key;
	encode_u32(out, *(const unsigned *)value);
}

static bool decode_word(const struct schema_key *key, struct decoder *in, void *value)
{
	uint32_t number;

	if (!decode_u32(in, UINT32_MAX, &number))
		return false;
	*(unsigned *)value = number;
	for (const struct value_word *word = key->words; word->word != NULL; word++)
		if (word->value == number)
			return true;
	return number == 0; /* not written */
}

static void clear_word(void *value)
{
	*(unsigned *)value = 0;
}

static void print_word(const struct schema_key *key, FILE *out)
{
	struct str all = {0};

	join_words(key->words, "\"", "\"", &all);
	fprintf(out, "\"enum\": [%s]", all.data);
	str_done(&all);
}

const struct value_type type_word = {read_word, encode_word, decode_word, clear_word, print_word};

static bool read_words(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	char **list = value_list(key->name, node, false, NULL, reading);
	unsigned all = 0, bit = 0;
	bool good = list != NULL;

	for (size_t i = 0; good && list[i] != NULL; i++) {
		good = find_word(key, list[i], &bit);
		if (!good)
			say_which_words(key, node, list[i], reading);
		all |= bit;
	}
	strv_free(list);
	if (good)
		*(unsigned *)value = all;
	return good;
}

static bool decode_words(const struct schema_key *key, struct decoder *in, void *value)
{
	uint32_t number, all = 0;

	for (const struct value_word *word = key->words; word->word != NULL; word++)
		all |= word->value;
	if (!decode_u32(in, UINT32_MAX, &number) || (number & ~all) != 0)
		return false;
	*(unsigned *)value = number;
	return true;
}

static void print_words(const struct schema_key *key, FILE *out)
{
	struct str all = {0};

	join_words(key->words, "\"", "\"", &all);
	fprintf(out, "\"anyOf\": [{\"enum\": [%s]}, {\"type\": \"array\", \"items\": {\"enum\": [%s]}, \"minItems\": 1}]", all.data, all.data);
	str_done(&all);
}

const struct value_type type_words = {read_words, encode_word, decode_words, clear_word, print_words};

static void encode_number(const struct schema_key *key, const void *value, struct str *out)
{
	(void)key;
	encode_u32(out, *(const uint32_t *)value);
}

/* 0 stands for "not written" beside min and max. */
static bool in_range(const struct schema_key *key, uint64_t number)
{
	return number == 0 || (number >= key->min && number <= key->max);
}

static bool decode_number(const struct schema_key *key, struct decoder *in, void *value)
{
	return decode_u32(in, UINT32_MAX, value) && in_range(key, *(uint32_t *)value);
}

static void clear_number(void *value)
{
	*(uint32_t *)value = 0;
}

static bool read_count(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	const char *text = value_text(key->name, node, false, reading);
	unsigned long long number;

	if (text == NULL)
		return false;
	if (!parse_u64(text, strlen(text), key->max, &number) || number < key->min) {
		problems_add(reading->problems, node->at, "%s must be a number from %llu to %llu, not '%.80s'", key->name,
			(unsigned long long)key->min, (unsigned long long)key->max, text);
		return false;
	}
	*(uint32_t *)value = (uint32_t)number;
	return true;
}

static void print_count(const struct schema_key *key, FILE *out)
{
	fprintf(out, "\"type\": \"integer\", \"minimum\": %llu, \"maximum\": %llu", (unsigned long long)key->min, (unsigned long long)key->max);
}

const struct value_type type_count = {read_count, encode_number, decode_number, clear_number, print_count};

/* A number and, after one space at most, a unit. With NULL as word a table gives the factor of a bare number. */
struct unit {
	const char *word;
	uint64_t factor;
};

static bool parse_quantity(const char *text, const struct unit *units, size_t count, uint64_t max, uint64_t *ret_value)
{
	size_t digits = strspn(text, "0123456789");
	const char *unit = text + digits;
	unsigned long long number;

	if (*unit == ' ')
		unit++;
	for (size_t i = 0; i < count; i++) {
		if (!ascii_equal_nocase(unit, units[i].word))
			continue;
		if (!parse_u64(text, digits, max / units[i].factor, &number))
			return false;
		*ret_value = number * units[i].factor;
		return true;
	}
	return false;
}

static const struct unit seconds[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 604800}};
static const struct unit bytes[] = {
	{"", 1}, {"b", 1}, {"bytes", 1}, {"kB", 1000}, {"KiB", 1024}, {"MB", 1000000}, {"MiB", 1 << 20}, {"GB", 1000000000}, {"GiB", 1 << 30}};

/* 90 -> "90s", 3600 -> "1h": the largest unit that divides. */
static void format_duration(char out[32], uint64_t value)
{
	size_t unit = ARRAY_SIZE(seconds) - 1;

	while (unit != 0 && value % seconds[unit].factor != 0)
		unit--;
	snprintf(out, 32, "%llu%s", (unsigned long long)(value / seconds[unit].factor), seconds[unit].word);
}

static bool read_duration(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	const char *text = value_text(key->name, node, false, reading);
	char least[32], most[32];
	uint64_t number;

	if (text == NULL)
		return false;
	if (!parse_quantity(text, seconds, ARRAY_SIZE(seconds), key->max, &number) || number < key->min) {
		format_duration(least, key->min);
		format_duration(most, key->max);
		problems_add(reading->problems, node->at, "%s must be a time with a unit, like 90s, 5m, 1h or 14d, from %s to %s, not '%.80s'",
			key->name, least, most, text);
		return false;
	}
	*(uint32_t *)value = (uint32_t)number;
	return true;
}

static void print_duration(const struct schema_key *key, FILE *out)
{
	(void)key;
	fputs("\"type\": \"string\", \"pattern\": \"^[0-9]+ ?[smhdwSMHDW]$\"", out);
}

const struct value_type type_duration = {read_duration, encode_number, decode_number, clear_number, print_duration};

static bool read_size(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	const char *text = value_text(key->name, node, false, reading);
	uint64_t number;

	if (text == NULL)
		return false;
	if (!parse_quantity(text, bytes, ARRAY_SIZE(bytes), key->max, &number) || number < key->min) {
		problems_add(reading->problems, node->at, "%s must be a size, like 150MiB, 10MB or a number of bytes from %llu to %llu, not '%.80s'",
			key->name, (unsigned long long)key->min, (unsigned long long)key->max, text);
		return false;
	}
	*(uint64_t *)value = number;
	return true;
}

static void encode_size(const struct schema_key *key, const void *value, struct str *out)
{
	(void)key;
	encode_u64(out, *(const uint64_t *)value);
}

static bool decode_size(const struct schema_key *key, struct decoder *in, void *value)
{
	return decode_u64(in, value) && in_range(key, *(uint64_t *)value);
}

static void clear_size(void *value)
{
	*(uint64_t *)value = 0;
}

static void print_size(const struct schema_key *key, FILE *out)
{
	fprintf(out,
		"\"anyOf\": [{\"type\": \"integer\", \"minimum\": %llu}, {\"type\": \"string\", \"pattern\": \"^[0-9]+ ?([KkMmGg][Ii]?[Bb])?$\"}]",
		(unsigned long long)key->min);
}

const struct value_type type_size = {read_size, encode_size, decode_size, clear_size, print_size};

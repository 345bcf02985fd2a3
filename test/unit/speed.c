/*
 * speed.c
 *	  Measure the hand-written scanners of src/core, and libraries in their place.
 *
 * make -C test/unit speed prints nanoseconds, the best of several rounds.  libc's
 * regular expressions are always measured; PCRE2 (with its compiler) and jansson
 * where pkg-config finds them.  The figures at the top of src/core/pii.c and
 * src/core/json_sanitize.c are from here.
 */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef WITH_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif
#ifdef WITH_JANSSON
#include <jansson.h>
#endif

#include "core/json_sanitize.h"
#include "core/pii.h"

#define ROUNDS	7
#define ENTRIES	1000

/* Texts as properties have them; none is personal data, so that each is read to its end. */
static const char *const texts[] = {
	"Blue cotton T-shirt, size M", "SKU-20931-XL", "4006381333931", "shoes > running > women",
	"spring sale 2026 - up to 30% off", "red|green|blue", "Kaffeemaschine \"Moka\" 6 Tassen",
	"550e8400-e29b-41d4-a716-446655440000", "1234.50", "order 2026-11-27/0042"
};

#define N_TEXTS	(sizeof(texts) / sizeof(texts[0]))

/* The forms that pii.c looks for, without the check digits, which no expression can compute. */
static const char pattern[] =
"[[:alnum:]!#$%&'*+/=?^_`{|}~-]@([[:alnum:]-]{1,63}\\.){1,10}([[:alpha:]]{2,63}|xn--[[:alnum:]-]+)"
"|(^|[^[:alnum:]_+])\\+\\(?[1-9]([-./() ]{0,3}[0-9]){7,14}"
"|(^|[^[:alnum:]_+.,/:-])00[1-9][0-9]*([-./() ]{1,3}[0-9]+){2,12}"
"|(^|[^[:alnum:]_-])[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}($|[^[:alnum:]_])"
"|(^|[^[:alnum:]_-])[0-9]{4}([ -]?[0-9]){10,15}($|[^[:alnum:]_])"
"|(^|[^[:alnum:]_])[[:alpha:]]{2}[0-9]{2}([ -]?[[:alnum:]]){11,30}($|[^[:alnum:]_])";

static regex_t posix;

#ifdef WITH_PCRE2
static pcre2_code * pcre;
static pcre2_match_data * pcre_match;
#endif

static char answer[ENTRIES * 128];
static char copy[sizeof(answer) + 1];
static size_t answer_len;

/* ---- what is measured: each function does it once ---- */

/* Search all texts by pii.c. */
static void
by_pii(void)
{
	for (size_t i = 0; i < N_TEXTS; i++)
		if (pcapi_pii_find(texts[i], strlen(texts[i])) != NULL)
			abort();
}

/* Match all texts by libc's regular expressions. */
static void
by_posix(void)
{
	for (size_t i = 0; i < N_TEXTS; i++)
		(void) regexec(&posix, texts[i], 0, NULL, 0);
}

#ifdef WITH_PCRE2
/* Match all texts by PCRE2's compiled code. */
static void
by_pcre2(void)
{
	for (size_t i = 0; i < N_TEXTS; i++)
		(void) pcre2_match(pcre, (PCRE2_SPTR) texts[i], strlen(texts[i]), 0, 0, pcre_match, NULL);
}
#endif

/* Sanitize the answer. */
static void
by_sanitize(void)
{
	size_t		len;

	if (!pcapi_json_sanitize(answer, answer_len, false, copy, &len))
		abort();
}

#ifdef WITH_JANSSON
/* Parse the answer into a tree. */
static void
by_jansson(void)
{
	json_t	   *json = json_loadb(answer, answer_len, JSON_ALLOW_NUL, NULL);

	if (json == NULL)
		abort();
	json_decref(json);
}
#endif

/* ---- measuring ---- */

/* Return the time in nanoseconds. */
static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

/* Print the best round's nanoseconds for one of the things that each call does. */
static void
measure(const char *what, void (*call) (void), size_t things)
{
	double		best = 0;

	for (int round = 0; round < ROUNDS; round++)
	{
		double		begin = now();
		size_t		calls = 0;

		while (now() - begin < 1e8)
		{
			call();
			calls++;
		}
		begin = (now() - begin) / (double) (calls * things);
		if (round == 0 || begin < best)
			best = begin;
	}
	printf("%-40s %12.0f ns\n", what, best);
}

int
main(void)
{
	if (regcomp(&posix, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		abort();
	measure("a text, pii.c", by_pii, N_TEXTS);
	measure("a text, libc's regexec", by_posix, N_TEXTS);
#ifdef WITH_PCRE2
	{
		int			error;
		PCRE2_SIZE	where;

		pcre = pcre2_compile((PCRE2_SPTR) pattern, PCRE2_ZERO_TERMINATED, 0, &error, &where, NULL);
		if (pcre == NULL || pcre2_jit_compile(pcre, PCRE2_JIT_COMPLETE) != 0)
			abort();
		pcre_match = pcre2_match_data_create_from_pattern(pcre, NULL);
		measure("a text, PCRE2 compiled", by_pcre2, N_TEXTS);
	}
#endif

	answer_len = (size_t) sprintf(answer, "{\"num_events_received\":%d,\"num_events_processed\":%d,\"events\":[", ENTRIES, ENTRIES);
	for (int i = 0; i < ENTRIES; i++)
		answer_len += (size_t) sprintf(answer + answer_len, "%s{\"status\":\"processed\",\"error_message\":null,\"warning_message\":null}", i ? "," : "");
	answer_len += (size_t) sprintf(answer + answer_len, "]}");
	printf("an answer for %d events: %zu bytes\n", ENTRIES, answer_len);
	measure("the answer, json_sanitize.c", by_sanitize, 1);
#ifdef WITH_JANSSON
	measure("the answer, jansson", by_jansson, 1);
#endif
	return 0;
}

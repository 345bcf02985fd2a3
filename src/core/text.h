/*
 * text.h
 *	  UTF-8 text: validity, blanks, digits and a small buffer.
 */
#ifndef PCAPI_TEXT_H
#define PCAPI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCAPI_TEXT_LOCAL 512	/* bytes; nearly every identifier is shorter */

/*
 * A growing byte buffer whose first bytes need no malloc.  It points into
 * itself, so it must not be copied by assignment.
 */
typedef struct PcapiText
{
	char	   *data;
	size_t		len;
	size_t		size;
	char		local[PCAPI_TEXT_LOCAL];
} PcapiText;

extern void pcapi_text_init(PcapiText *buf);
extern void pcapi_text_free(PcapiText *buf);
extern bool pcapi_text_reserve(PcapiText *buf, size_t more);
extern bool pcapi_text_set(PcapiText *buf, const char *s, size_t len);
extern char *pcapi_strndup(const char *s, size_t len);	/* malloc'd */

extern bool pcapi_utf8_valid(const char *s, size_t len);	/* and no NUL in it */
extern bool pcapi_is_ascii(const char *s, size_t len);
extern int32_t pcapi_next_char(const char **s, const char *end);
extern bool pcapi_is_blank(int32_t c);	/* Unicode's White_Space */
extern bool pcapi_is_punctuation(int32_t c);	/* of any script */
extern bool pcapi_is_letter(int32_t c);
extern int	pcapi_digit_value(int32_t c);	/* of any script; or -1 */
extern void pcapi_trim(const char **s, size_t *len);

/* for ASCII alone, whatever the locale */
static inline bool
pcapi_ascii_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
pcapi_ascii_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool
pcapi_ascii_alnum(char c)
{
	return pcapi_ascii_digit(c) || pcapi_ascii_alpha(c);
}

static inline char
pcapi_ascii_lower(char c)
{
	return (c >= 'A' && c <= 'Z') ? (char) (c + ('a' - 'A')) : c;
}

#endif							/* PCAPI_TEXT_H */

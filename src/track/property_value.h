/*
 * property_value.h
 *	  Convert a JSON value to the API's form of a property.
 */
#ifndef PCAPI_PROPERTY_VALUE_H
#define PCAPI_PROPERTY_VALUE_H

#include "pinterest_capi.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/*
 * Convert a value.  Each returns NULL, or a static text that says what is wrong
 * without quoting the value.
 */
extern const char pcapi_negative[]; /* pcapi_value_decimal's text for a number below zero */
extern const char *pcapi_value_decimal(const JsonbValue *v, char **out);
extern const char *pcapi_value_integer(const JsonbValue *v, int64 max, int64 *out);
extern const char *pcapi_value_boolean(const JsonbValue *v, bool *out);
extern const char *pcapi_value_currency(const JsonbValue *v, char **out);

/*
 * Search a text that would be sent as it is for personal data, by
 * pcapi_pii_find or pcapi_pii_find_in_id.  Returns NULL, or what is wrong with it.
 */
extern const char *pcapi_find_pii_warning(const char *s, size_t len,
										  const char *(*find) (const char *, size_t));

/* Convert to a short text without blanks around it; *out NULL without an error: it is empty. */
extern const char *pcapi_value_token(const JsonbValue *v, int64 max, char **out);

/* Convert to free text, clipped.  *note gets a warning about a value that is sent all the same. */
extern const char *pcapi_value_text(const JsonbValue *v, int64 max, char **out, const char **note);

/*
 * Append "field":value of a simple property, after a comma where one is needed.
 * Returns false when nothing was appended; the reason is in the warnings then.
 */
extern bool pcapi_append_property(StringInfo buf, int property, const JsonbValue *v,
								  List **warnings);

extern void pcapi_append_key(StringInfo buf, const char *key);
extern void pcapi_append_string(StringInfo buf, const char *key, const char *value);
extern void pcapi_append_integer(StringInfo buf, const char *key, int64 value);

#endif							/* PCAPI_PROPERTY_VALUE_H */

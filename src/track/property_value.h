/*
 * property_value.h
 *	  One JSON value into what the API takes for a property.
 */
#ifndef PCAPI_PROPERTY_VALUE_H
#define PCAPI_PROPERTY_VALUE_H

#include "pinterest_capi.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/*
 * These return NULL when all is well, else a static text that says what is
 * wrong without the value.
 */
extern const char pcapi_negative[]; /* what pcapi_value_decimal says of a number below zero */
extern const char *pcapi_value_decimal(const JsonbValue *v, char **out);
extern const char *pcapi_value_integer(const JsonbValue *v, int64 max, int64 *out);
extern const char *pcapi_value_boolean(const JsonbValue *v, bool *out);
extern const char *pcapi_value_currency(const JsonbValue *v, char **out);

/*
 * What is wrong with a text that would leave as it is, by pcapi_pii_find or
 * pcapi_pii_find_in_id; NULL when all is well.
 */
extern const char *pcapi_find_pii_warning(const char *s, size_t len,
										  const char *(*find) (const char *, size_t));

/* a short text without blanks around it; *out NULL without an error: empty */
extern const char *pcapi_value_token(const JsonbValue *v, int64 max, char **out);

/* free text, without PII, clipped; *note as a warning for what still goes */
extern const char *pcapi_value_text(const JsonbValue *v, int64 max, char **out, const char **note);

/*
 * "field":value of a simple property, after a comma where one is needed.
 * False when nothing was appended; the reason is in the warnings then.
 */
extern bool pcapi_append_property(StringInfo buf, int property, const JsonbValue *v,
								  List **warnings);

extern void pcapi_append_key(StringInfo buf, const char *key);
extern void pcapi_append_string(StringInfo buf, const char *key, const char *value);
extern void pcapi_append_integer(StringInfo buf, const char *key, int64 value);

#endif							/* PCAPI_PROPERTY_VALUE_H */

/*
 * normalize.h
 *	  Between normalize.c and the kinds that have a syntax of their own.
 *
 * Input is trimmed, valid UTF-8 without NUL.  Output is appended to an empty
 * buffer that has room for it; false means no usable value.
 */
#ifndef PCAPI_NORMALIZE_H
#define PCAPI_NORMALIZE_H

#include "core/text.h"

extern bool pcapi_normalize_phone(const char *in, size_t len, const char *country,
								  PcapiText *out, const char **warning);
extern bool pcapi_normalize_date(const char *in, size_t len, int today,
								 PcapiText *out, const char **warning);
extern bool pcapi_normalize_country(const char *in, size_t len, PcapiText *out,
									const char **warning);

/* what the e-mail address within is, as it is written */
extern bool pcapi_find_address(const char *in, size_t len, PcapiText *out,
							   const char **warning);

/* of a lower-case address: a domain that is hardly meant */
extern bool pcapi_is_misspelled_domain(const char *address, size_t len);

/* of the name of a state of the USA or a province of Canada, or NULL */
extern const char *pcapi_state_code(const char *in, size_t len, const char *country);

#endif							/* PCAPI_NORMALIZE_H */

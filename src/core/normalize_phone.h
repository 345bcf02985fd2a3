/*
 * normalize_phone.h
 *	  Turn telephone numbers as people write them into the digits of E.164.
 */
#ifndef PCAPI_NORMALIZE_PHONE_H
#define PCAPI_NORMALIZE_PHONE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/text.h"

/* The warning for a number in national form whose country is not known. */
#define PCAPI_NO_COUNTRY_CODE "country code seems to be missing"

/* Is it no hash, and without a plus sign before its digits?  Then it needs a country. */
extern bool pcapi_phone_may_be_national(const char *in, size_t len);

/*
 * Write the digits into out, which pcapi_text_init() has prepared.  country is of
 * two lower-case letters, or empty where it is not known.  Return false, with a
 * warning, for what is no number or an ambiguous one.
 */
extern bool pcapi_normalize_phone(const char *in, size_t len, const char *country,
								  PcapiText *out, const char **warning);

#endif							/* PCAPI_NORMALIZE_PHONE_H */

/*
 * normalize_phone.h
 *	  Telephone numbers as people write them, into the digits of E.164.
 */
#ifndef PCAPI_NORMALIZE_PHONE_H
#define PCAPI_NORMALIZE_PHONE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/text.h"

/* A phone number that would need its country has this warning without one. */
#define PCAPI_NO_COUNTRY_CODE "country code seems to be missing"

/* Has it no plus sign before its digits, and is no hash?  Then it needs a country. */
extern bool pcapi_phone_may_be_national(const char *in, size_t len);
extern bool pcapi_normalize_phone(const char *in, size_t len, const char *country,
								  PcapiText *out, const char **warning);

#endif							/* PCAPI_NORMALIZE_PHONE_H */

/*
 * normalize_place.h
 *	  Find the codes of countries and states, by code or by name.
 */
#ifndef PCAPI_NORMALIZE_PLACE_H
#define PCAPI_NORMALIZE_PLACE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/text.h"

/* Write the code of a country in any spelling, for an identifier's context; false: not known. */
extern bool pcapi_country_code(const char *in, size_t len, char code[3]);

/* Write the code of the country whose SHA-256 is hex, 64 lower-case digits; false: not known. */
extern bool pcapi_country_of_hash(const char *hex, char code[3]);

/* Write the code of a country to out; false, with a warning: not known. */
extern bool pcapi_normalize_country(const char *in, size_t len, PcapiText *out,
									const char **warning);

/*
 * Return the code of the name of a state of the USA or a province of Canada, or
 * NULL.  country is of two lower-case letters, or empty where it is not known.
 */
extern const char *pcapi_state_code(const char *in, size_t len, const char *country);

#endif							/* PCAPI_NORMALIZE_PLACE_H */

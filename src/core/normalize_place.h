/*
 * normalize_place.h
 *	  Countries and states, by their codes and by their names.
 */
#ifndef PCAPI_NORMALIZE_PLACE_H
#define PCAPI_NORMALIZE_PLACE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/text.h"

/* The code for a context of what somebody wrote as a country; false: none known. */
extern bool pcapi_country_code(const char *in, size_t len, char code[3]);

/*
 * The same of a country's SHA-256, of which there are few.  hex has 64
 * lower-case digits.
 */
extern bool pcapi_country_of_hash(const char *hex, char code[3]);
extern bool pcapi_normalize_country(const char *in, size_t len, PcapiText *out,
									const char **warning);

/* of the name of a state of the USA or a province of Canada, or NULL */
extern const char *pcapi_state_code(const char *in, size_t len, const char *country);

#endif							/* PCAPI_NORMALIZE_PLACE_H */

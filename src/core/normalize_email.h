/*
 * normalize_email.h
 *	  Extract an e-mail address from the text it was copied with.
 */
#ifndef PCAPI_NORMALIZE_EMAIL_H
#define PCAPI_NORMALIZE_EMAIL_H

#include <stdbool.h>
#include <stddef.h>

#include "core/text.h"

/* Write the address as it stands in the text to out; false, with a warning: there is none. */
extern bool pcapi_find_address(const char *in, size_t len, PcapiText *out,
							   const char **warning);

/* Is the domain of a lower-case address a known misspelling? */
extern bool pcapi_is_misspelled_domain(const char *address, size_t len);

#endif							/* PCAPI_NORMALIZE_EMAIL_H */

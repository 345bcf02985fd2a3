/*
 * normalize_email.h
 *	  E-mail addresses, out of what they are copied from.
 */
#ifndef PCAPI_NORMALIZE_EMAIL_H
#define PCAPI_NORMALIZE_EMAIL_H

#include <stdbool.h>
#include <stddef.h>

#include "core/text.h"

/* what the e-mail address within is, as it is written */
extern bool pcapi_find_address(const char *in, size_t len, PcapiText *out,
							   const char **warning);

/* of a lower-case address: a domain that is hardly meant */
extern bool pcapi_is_misspelled_domain(const char *address, size_t len);

#endif							/* PCAPI_NORMALIZE_EMAIL_H */

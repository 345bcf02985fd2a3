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

extern bool pcapi_normalize_phone(const char *in, size_t len, PcapiText *out,
								  const char **warning);
extern bool pcapi_normalize_date(const char *in, size_t len, PcapiText *out,
								 const char **warning);

#endif							/* PCAPI_NORMALIZE_H */

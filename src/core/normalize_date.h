/*
 * normalize_date.h
 *	  Dates of birth.
 */
#ifndef PCAPI_NORMALIZE_DATE_H
#define PCAPI_NORMALIZE_DATE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/text.h"

extern bool pcapi_normalize_date(const char *in, size_t len, int today,
								 PcapiText *out, const char **warning);

#endif							/* PCAPI_NORMALIZE_DATE_H */

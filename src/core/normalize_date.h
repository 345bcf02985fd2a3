/*
 * normalize_date.h
 *	  Normalise dates of birth.
 */
#ifndef PCAPI_NORMALIZE_DATE_H
#define PCAPI_NORMALIZE_DATE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/text.h"

/*
 * Write YYYYMMDD into out, which pcapi_text_init() has prepared.  today is
 * YYYYMMDD as well, or 0 where it is not known.  Return false, with a warning, for
 * anything else than a date in year, month, day order, or a later one than today.
 */
extern bool pcapi_normalize_date(const char *in, size_t len, int today,
								 PcapiText *out, const char **warning);

#endif							/* PCAPI_NORMALIZE_DATE_H */

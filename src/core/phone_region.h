/*
 * phone_region.h
 *	  The numbering plan of each country, for normalize_phone.c.
 */
#ifndef PCAPI_PHONE_REGION_H
#define PCAPI_PHONE_REGION_H

#include <stddef.h>
#include <stdint.h>

/*
 * The numbering plan of a country.  Lists are separated by blanks, the longest
 * prefix first.  A set of lengths has bit n set for a length n.
 */
typedef struct PcapiPhoneRegion
{
	char		country[3];
	char		calling_code[4];

	/*
	 * Prefixes dialled before a number of another area, which are no part of
	 * the number.  Empty where a country has none, or where the zero belongs
	 * to the number, as in Italy.
	 */
	char		trunk[8];

	/*
	 * Prefixes before a number of another country, besides 00, which counts
	 * everywhere.  A prefix after ! can also be the beginning of 00 and a
	 * calling code.
	 */
	const char *international;

	char		first[11];		/* the digits with which numbers begin */
	uint16_t	lengths;		/* the set for fixed and mobile numbers */
	uint16_t	mobile;			/* the set for mobile numbers */
} PcapiPhoneRegion;

/* Return the plan of a country of two lower-case letters, or NULL. */
extern const PcapiPhoneRegion *pcapi_phone_region(const char *country);

/* Return a region with that calling code, or NULL.  Regions of one code agree on their zeros. */
extern const PcapiPhoneRegion *pcapi_calling_code_region(const char *digits, size_t len);

#endif							/* PCAPI_PHONE_REGION_H */

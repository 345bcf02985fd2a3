/*
 * phone_region.h
 *	  How the telephone numbers of a country are written, for normalize_phone.c.
 */
#ifndef PCAPI_PHONE_REGION_H
#define PCAPI_PHONE_REGION_H

#include <stddef.h>
#include <stdint.h>

/*
 * "trunk" lists the prefixes dialled before a number of another area, which are
 * no part of the number; none where there are none, or where the zero belongs
 * to the number, as in Italy.  "international" lists the prefixes before a
 * number of another country besides 00, which counts everywhere; one behind !
 * can also be the beginning of 00 and a calling code.  Lists are separated by
 * blanks, the longest prefix first.  "first" are the digits with which numbers
 * begin.  Of a length n, bit n is set.
 */
typedef struct PcapiPhoneRegion
{
	char		country[3];
	char		calling_code[4];
	char		trunk[8];
	const char *international;
	char		first[11];
	uint16_t	lengths;		/* of fixed and mobile numbers */
	uint16_t	mobile;			/* of mobile ones */
} PcapiPhoneRegion;

/* of two lower-case letters; NULL: there is none */
extern const PcapiPhoneRegion *pcapi_phone_region(const char *country);

/* a region with that calling code; of several, all agree on their zeros */
extern const PcapiPhoneRegion *pcapi_calling_code_region(const char *digits, size_t len);

#endif							/* PCAPI_PHONE_REGION_H */

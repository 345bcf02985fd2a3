/*
 * place_names.h
 *	  Names of countries and states, for normalize_place.c.
 */

#ifndef PCAPI_PLACE_NAMES_H
#define PCAPI_PLACE_NAMES_H

#define PCAPI_COUNTRIES		249
#define PCAPI_US_STATES		51
#define PCAPI_CA_PROVINCES	13

typedef struct PcapiCountryNames
{
	char		alpha2[3];
	char		alpha3[4];
	const char *names;			/* separated by blanks */
} PcapiCountryNames;

typedef struct PcapiStateNames
{
	char		code[3];
	const char *names;
} PcapiStateNames;

extern const PcapiCountryNames pcapi_country_names[PCAPI_COUNTRIES];	/* by alpha2 */
extern const PcapiStateNames pcapi_us_states[PCAPI_US_STATES];
extern const PcapiStateNames pcapi_ca_provinces[PCAPI_CA_PROVINCES];

#endif							/* PCAPI_PLACE_NAMES_H */

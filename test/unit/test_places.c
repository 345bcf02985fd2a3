/*
 * test_places.c
 *	  Find countries and states by code and name, and read phone numbers of a country.
 */
#include <stdlib.h>
#include <string.h>

#include "core/normalize.h"
#include "core/normalize_phone.h"
#include "core/normalize_place.h"
#include "core/sha256.h"
#include "tap.h"

/* ISO 3166-1: alpha-2, alpha-3, English short name */
static const char *const countries[][3] = {
	{"AD", "AND", "Andorra"},
	{"AE", "ARE", "United Arab Emirates"},
	{"AF", "AFG", "Afghanistan"},
	{"AG", "ATG", "Antigua and Barbuda"},
	{"AI", "AIA", "Anguilla"},
	{"AL", "ALB", "Albania"},
	{"AM", "ARM", "Armenia"},
	{"AO", "AGO", "Angola"},
	{"AQ", "ATA", "Antarctica"},
	{"AR", "ARG", "Argentina"},
	{"AS", "ASM", "American Samoa"},
	{"AT", "AUT", "Austria"},
	{"AU", "AUS", "Australia"},
	{"AW", "ABW", "Aruba"},
	{"AX", "ALA", "Åland Islands"},
	{"AZ", "AZE", "Azerbaijan"},
	{"BA", "BIH", "Bosnia and Herzegovina"},
	{"BB", "BRB", "Barbados"},
	{"BD", "BGD", "Bangladesh"},
	{"BE", "BEL", "Belgium"},
	{"BF", "BFA", "Burkina Faso"},
	{"BG", "BGR", "Bulgaria"},
	{"BH", "BHR", "Bahrain"},
	{"BI", "BDI", "Burundi"},
	{"BJ", "BEN", "Benin"},
	{"BL", "BLM", "Saint Barthélemy"},
	{"BM", "BMU", "Bermuda"},
	{"BN", "BRN", "Brunei Darussalam"},
	{"BO", "BOL", "Bolivia"},
	{"BQ", "BES", "Bonaire, Sint Eustatius and Saba"},
	{"BR", "BRA", "Brazil"},
	{"BS", "BHS", "Bahamas"},
	{"BT", "BTN", "Bhutan"},
	{"BV", "BVT", "Bouvet Island"},
	{"BW", "BWA", "Botswana"},
	{"BY", "BLR", "Belarus"},
	{"BZ", "BLZ", "Belize"},
	{"CA", "CAN", "Canada"},
	{"CC", "CCK", "Cocos (Keeling) Islands"},
	{"CD", "COD", "Democratic Republic of the Congo"},
	{"CF", "CAF", "Central African Republic"},
	{"CG", "COG", "Republic of the Congo"},
	{"CH", "CHE", "Switzerland"},
	{"CI", "CIV", "Cote d'Ivoire"},
	{"CK", "COK", "Cook Islands"},
	{"CL", "CHL", "Chile"},
	{"CM", "CMR", "Cameroon"},
	{"CN", "CHN", "People's Republic of China"},
	{"CO", "COL", "Colombia"},
	{"CR", "CRI", "Costa Rica"},
	{"CU", "CUB", "Cuba"},
	{"CV", "CPV", "Cape Verde"},
	{"CW", "CUW", "Curaçao"},
	{"CX", "CXR", "Christmas Island"},
	{"CY", "CYP", "Cyprus"},
	{"CZ", "CZE", "Czech Republic"},
	{"DE", "DEU", "Germany"},
	{"DJ", "DJI", "Djibouti"},
	{"DK", "DNK", "Denmark"},
	{"DM", "DMA", "Dominica"},
	{"DO", "DOM", "Dominican Republic"},
	{"DZ", "DZA", "Algeria"},
	{"EC", "ECU", "Ecuador"},
	{"EE", "EST", "Estonia"},
	{"EG", "EGY", "Egypt"},
	{"EH", "ESH", "Western Sahara"},
	{"ER", "ERI", "Eritrea"},
	{"ES", "ESP", "Spain"},
	{"ET", "ETH", "Ethiopia"},
	{"FI", "FIN", "Finland"},
	{"FJ", "FJI", "Fiji"},
	{"FK", "FLK", "Falkland Islands (Malvinas)"},
	{"FM", "FSM", "Micronesia, Federated States of"},
	{"FO", "FRO", "Faroe Islands"},
	{"FR", "FRA", "France"},
	{"GA", "GAB", "Gabon"},
	{"GB", "GBR", "United Kingdom"},
	{"GD", "GRD", "Grenada"},
	{"GE", "GEO", "Georgia"},
	{"GF", "GUF", "French Guiana"},
	{"GG", "GGY", "Guernsey"},
	{"GH", "GHA", "Ghana"},
	{"GI", "GIB", "Gibraltar"},
	{"GL", "GRL", "Greenland"},
	{"GM", "GMB", "Republic of The Gambia"},
	{"GN", "GIN", "Guinea"},
	{"GP", "GLP", "Guadeloupe"},
	{"GQ", "GNQ", "Equatorial Guinea"},
	{"GR", "GRC", "Greece"},
	{"GS", "SGS", "South Georgia and the South Sandwich Islands"},
	{"GT", "GTM", "Guatemala"},
	{"GU", "GUM", "Guam"},
	{"GW", "GNB", "Guinea-Bissau"},
	{"GY", "GUY", "Guyana"},
	{"HK", "HKG", "Hong Kong"},
	{"HM", "HMD", "Heard Island and McDonald Islands"},
	{"HN", "HND", "Honduras"},
	{"HR", "HRV", "Croatia"},
	{"HT", "HTI", "Haiti"},
	{"HU", "HUN", "Hungary"},
	{"ID", "IDN", "Indonesia"},
	{"IE", "IRL", "Ireland"},
	{"IL", "ISR", "Israel"},
	{"IM", "IMN", "Isle of Man"},
	{"IN", "IND", "India"},
	{"IO", "IOT", "British Indian Ocean Territory"},
	{"IQ", "IRQ", "Iraq"},
	{"IR", "IRN", "Islamic Republic of Iran"},
	{"IS", "ISL", "Iceland"},
	{"IT", "ITA", "Italy"},
	{"JE", "JEY", "Jersey"},
	{"JM", "JAM", "Jamaica"},
	{"JO", "JOR", "Jordan"},
	{"JP", "JPN", "Japan"},
	{"KE", "KEN", "Kenya"},
	{"KG", "KGZ", "Kyrgyzstan"},
	{"KH", "KHM", "Cambodia"},
	{"KI", "KIR", "Kiribati"},
	{"KM", "COM", "Comoros"},
	{"KN", "KNA", "Saint Kitts and Nevis"},
	{"KP", "PRK", "North Korea"},
	{"KR", "KOR", "South Korea"},
	{"KW", "KWT", "Kuwait"},
	{"KY", "CYM", "Cayman Islands"},
	{"KZ", "KAZ", "Kazakhstan"},
	{"LA", "LAO", "Lao People's Democratic Republic"},
	{"LB", "LBN", "Lebanon"},
	{"LC", "LCA", "Saint Lucia"},
	{"LI", "LIE", "Liechtenstein"},
	{"LK", "LKA", "Sri Lanka"},
	{"LR", "LBR", "Liberia"},
	{"LS", "LSO", "Lesotho"},
	{"LT", "LTU", "Lithuania"},
	{"LU", "LUX", "Luxembourg"},
	{"LV", "LVA", "Latvia"},
	{"LY", "LBY", "Libya"},
	{"MA", "MAR", "Morocco"},
	{"MC", "MCO", "Monaco"},
	{"MD", "MDA", "Moldova, Republic of"},
	{"ME", "MNE", "Montenegro"},
	{"MF", "MAF", "Saint Martin (French part)"},
	{"MG", "MDG", "Madagascar"},
	{"MH", "MHL", "Marshall Islands"},
	{"MK", "MKD", "The Republic of North Macedonia"},
	{"ML", "MLI", "Mali"},
	{"MM", "MMR", "Myanmar"},
	{"MN", "MNG", "Mongolia"},
	{"MO", "MAC", "Macao"},
	{"MP", "MNP", "Northern Mariana Islands"},
	{"MQ", "MTQ", "Martinique"},
	{"MR", "MRT", "Mauritania"},
	{"MS", "MSR", "Montserrat"},
	{"MT", "MLT", "Malta"},
	{"MU", "MUS", "Mauritius"},
	{"MV", "MDV", "Maldives"},
	{"MW", "MWI", "Malawi"},
	{"MX", "MEX", "Mexico"},
	{"MY", "MYS", "Malaysia"},
	{"MZ", "MOZ", "Mozambique"},
	{"NA", "NAM", "Namibia"},
	{"NC", "NCL", "New Caledonia"},
	{"NE", "NER", "Niger"},
	{"NF", "NFK", "Norfolk Island"},
	{"NG", "NGA", "Nigeria"},
	{"NI", "NIC", "Nicaragua"},
	{"NL", "NLD", "Netherlands"},
	{"NO", "NOR", "Norway"},
	{"NP", "NPL", "Nepal"},
	{"NR", "NRU", "Nauru"},
	{"NU", "NIU", "Niue"},
	{"NZ", "NZL", "New Zealand"},
	{"OM", "OMN", "Oman"},
	{"PA", "PAN", "Panama"},
	{"PE", "PER", "Peru"},
	{"PF", "PYF", "French Polynesia"},
	{"PG", "PNG", "Papua New Guinea"},
	{"PH", "PHL", "Philippines"},
	{"PK", "PAK", "Pakistan"},
	{"PL", "POL", "Poland"},
	{"PM", "SPM", "Saint Pierre and Miquelon"},
	{"PN", "PCN", "Pitcairn"},
	{"PR", "PRI", "Puerto Rico"},
	{"PS", "PSE", "State of Palestine"},
	{"PT", "PRT", "Portugal"},
	{"PW", "PLW", "Palau"},
	{"PY", "PRY", "Paraguay"},
	{"QA", "QAT", "Qatar"},
	{"RE", "REU", "Reunion"},
	{"RO", "ROU", "Romania"},
	{"RS", "SRB", "Serbia"},
	{"RU", "RUS", "Russian Federation"},
	{"RW", "RWA", "Rwanda"},
	{"SA", "SAU", "Saudi Arabia"},
	{"SB", "SLB", "Solomon Islands"},
	{"SC", "SYC", "Seychelles"},
	{"SD", "SDN", "Sudan"},
	{"SE", "SWE", "Sweden"},
	{"SG", "SGP", "Singapore"},
	{"SH", "SHN", "Saint Helena"},
	{"SI", "SVN", "Slovenia"},
	{"SJ", "SJM", "Svalbard and Jan Mayen"},
	{"SK", "SVK", "Slovakia"},
	{"SL", "SLE", "Sierra Leone"},
	{"SM", "SMR", "San Marino"},
	{"SN", "SEN", "Senegal"},
	{"SO", "SOM", "Somalia"},
	{"SR", "SUR", "Suriname"},
	{"SS", "SSD", "South Sudan"},
	{"ST", "STP", "Sao Tome and Principe"},
	{"SV", "SLV", "El Salvador"},
	{"SX", "SXM", "Sint Maarten (Dutch part)"},
	{"SY", "SYR", "Syrian Arab Republic"},
	{"SZ", "SWZ", "Eswatini"},
	{"TC", "TCA", "Turks and Caicos Islands"},
	{"TD", "TCD", "Chad"},
	{"TF", "ATF", "French Southern Territories"},
	{"TG", "TGO", "Togo"},
	{"TH", "THA", "Thailand"},
	{"TJ", "TJK", "Tajikistan"},
	{"TK", "TKL", "Tokelau"},
	{"TL", "TLS", "Timor-Leste"},
	{"TM", "TKM", "Turkmenistan"},
	{"TN", "TUN", "Tunisia"},
	{"TO", "TON", "Tonga"},
	{"TR", "TUR", "Türkiye"},
	{"TT", "TTO", "Trinidad and Tobago"},
	{"TV", "TUV", "Tuvalu"},
	{"TW", "TWN", "Taiwan, Province of China"},
	{"TZ", "TZA", "United Republic of Tanzania"},
	{"UA", "UKR", "Ukraine"},
	{"UG", "UGA", "Uganda"},
	{"UM", "UMI", "United States Minor Outlying Islands"},
	{"US", "USA", "United States of America"},
	{"UY", "URY", "Uruguay"},
	{"UZ", "UZB", "Uzbekistan"},
	{"VA", "VAT", "Holy See (Vatican City State)"},
	{"VC", "VCT", "Saint Vincent and the Grenadines"},
	{"VE", "VEN", "Venezuela"},
	{"VG", "VGB", "Virgin Islands, British"},
	{"VI", "VIR", "Virgin Islands, U.S."},
	{"VN", "VNM", "Vietnam"},
	{"VU", "VUT", "Vanuatu"},
	{"WF", "WLF", "Wallis and Futuna"},
	{"WS", "WSM", "Samoa"},
	{"YE", "YEM", "Yemen"},
	{"YT", "MYT", "Mayotte"},
	{"ZA", "ZAF", "South Africa"},
	{"ZM", "ZMB", "Zambia"},
	{"ZW", "ZWE", "Zimbabwe"}
};

static const char *const states[][3] = {
	{"AL", "Alabama", "us"}, {"AK", "Alaska", "us"}, {"AZ", "Arizona", "us"}, {"AR", "Arkansas", "us"},
	{"CA", "California", "us"}, {"CO", "Colorado", "us"}, {"CT", "Connecticut", "us"}, {"DE", "Delaware", "us"},
	{"DC", "District of Columbia", "us"}, {"FL", "Florida", "us"}, {"GA", "Georgia", "us"}, {"HI", "Hawaii", "us"},
	{"ID", "Idaho", "us"}, {"IL", "Illinois", "us"}, {"IN", "Indiana", "us"}, {"IA", "Iowa", "us"},
	{"KS", "Kansas", "us"}, {"KY", "Kentucky", "us"}, {"LA", "Louisiana", "us"}, {"ME", "Maine", "us"},
	{"MD", "Maryland", "us"}, {"MA", "Massachusetts", "us"}, {"MI", "Michigan", "us"}, {"MN", "Minnesota", "us"},
	{"MS", "Mississippi", "us"}, {"MO", "Missouri", "us"}, {"MT", "Montana", "us"}, {"NE", "Nebraska", "us"},
	{"NV", "Nevada", "us"}, {"NH", "New Hampshire", "us"}, {"NJ", "New Jersey", "us"}, {"NM", "New Mexico", "us"},
	{"NY", "New York", "us"}, {"NC", "North Carolina", "us"}, {"ND", "North Dakota", "us"}, {"OH", "Ohio", "us"},
	{"OK", "Oklahoma", "us"}, {"OR", "Oregon", "us"}, {"PA", "Pennsylvania", "us"}, {"RI", "Rhode Island", "us"},
	{"SC", "South Carolina", "us"}, {"SD", "South Dakota", "us"}, {"TN", "Tennessee", "us"}, {"TX", "Texas", "us"},
	{"UT", "Utah", "us"}, {"VT", "Vermont", "us"}, {"VA", "Virginia", "us"}, {"WA", "Washington", "us"},
	{"WV", "West Virginia", "us"}, {"WI", "Wisconsin", "us"}, {"WY", "Wyoming", "us"},
	{"AB", "Alberta", "ca"}, {"BC", "British Columbia", "ca"}, {"MB", "Manitoba", "ca"}, {"NB", "New Brunswick", "ca"},
	{"NL", "Newfoundland and Labrador", "ca"}, {"NT", "Northwest Territories", "ca"}, {"NS", "Nova Scotia", "ca"},
	{"NU", "Nunavut", "ca"}, {"ON", "Ontario", "ca"}, {"PE", "Prince Edward Island", "ca"}, {"QC", "Quebec", "ca"},
	{"SK", "Saskatchewan", "ca"}, {"YT", "Yukon", "ca"},
	{"BC", "Colombie-Britannique", "ca"}, {"NB", "Nouveau-Brunswick", "ca"}, {"NL", "Terre-Neuve-et-Labrador", "ca"},
	{"NT", "Territoires du Nord-Ouest", "ca"}, {"NS", "Nouvelle-Écosse", "ca"}, {"PE", "Île-du-Prince-Édouard", "ca"},
	{"QC", "Québec", "ca"}
};

/* phone numbers of a country; NULL: no number, with the warning */
static const char *const phones[][4] = {
	{"DE", "0171 1234567", "491711234567", NULL},
	{"Deutschland", "(0171) 123 45 67", "491711234567", NULL},
	{"DE", "+49 (0)171 1234567", "491711234567", NULL},
	{"DE", "0049 171 1234567", "491711234567", NULL},
	{"DE", "1711234567", "491711234567", NULL},
	{"DE", "491711234567", "491711234567", NULL},
	{"DE", "49301234567", NULL, "a phone number that can be read in two ways"},
	{"DE", "1234567", NULL, "not a phone number of its country"},
	{"DE", "030 1234", "49301234", NULL},
	{"DE", "+44 20 7946 0958", "442079460958", NULL},
	{"DE", "0171 1234567 ext. 9", "491711234567", NULL},
	{"DE", "0171-CALL-ME", NULL, "letters in a phone number"},
	{"DE", "+0171 1234567", "491711234567", NULL},
	{"FR", "01 71 12 34 56", "33171123456", NULL},
	{"FR", "+33 (0)1 71 12 34 56", "33171123456", NULL},
	{"FR", "0171 1234567", NULL, "not a phone number of its country"},
	{"IT", "06 6982 1234", "390669821234", NULL},
	{"IT", "391 234 5678", "393912345678", NULL},
	{"IT", "393331234567", "393331234567", NULL},
	{"SM", "0549 886377", "3780549886377", NULL},
	{"GB", "020 7946 0958", "442079460958", NULL},
	{"US", "(212) 555-1234", "12125551234", NULL},
	{"US", "1-212-555-1234", "12125551234", NULL},
	{"US", "011 44 20 7946 0958", "442079460958", NULL},
	{"US", "555-1234", NULL, "not a phone number of its country"},
	{"AU", "0011 44 20 7946 0958", "442079460958", NULL},
	{"AU", "(02) 9876 5432", "61298765432", NULL},
	{"RU", "8 (912) 345-67-89", "79123456789", NULL},
	{"RU", "8~10 44 20 7946 0958", "442079460958", NULL},
	{"HU", "06 20 123 4567", "36201234567", NULL},
	{"BY", "8 029 491-19-11", "375294911911", NULL},
	{"JP", "010 44 20 7946 0958", "442079460958", NULL},
	{"JP", "090-1234-5678", "819012345678", NULL},
	{"BR", "(11) 96123-4567", "5511961234567", NULL},
	{"BR", "0021 1 212 555 1234", NULL, "a phone number that can be read in two ways"},
	{"AR", "011 15-2345-6789", "5491123456789", NULL},
	{"AR", "0351 15-234-5678", "5493512345678", NULL},
	{"AR", "02966 15-45-6789", "5492966456789", NULL},
	{"AR", "011 2345-6789", "541123456789", NULL},
	{"XK", "043 201 234", "38343201234", NULL},
	{"XX", "0171 1234567", "1711234567", PCAPI_NO_COUNTRY_CODE},
	{"", "0171 1234567", "1711234567", PCAPI_NO_COUNTRY_CODE},
	{"DE", "", NULL, NULL}
};

/* Return the normalised value, or NULL; valid until the next call. */
static const char *
normalized(PcapiKind kind, const char *raw, const PcapiIdentifierContext *context, const char **warning)
{
	static char result[128];
	char	   *got;
	size_t		len;

	if (!pcapi_normalize(kind, raw, strlen(raw), context, &got, &len, warning))
		return NULL;
	strncpy(result, got, sizeof(result) - 1);
	free(got);
	return result;
}

/* Every country by its codes, name and hash; no other two letters are a country. */
static void
test_countries(void)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
	const char *warning;

	tap_ok(sizeof(countries) / sizeof(countries[0]) == 249, "249 countries");
	for (size_t i = 0; i < sizeof(countries) / sizeof(countries[0]); i++)
	{
		char		code[3] = {countries[i][0][0] | 0x20, countries[i][0][1] | 0x20, '\0'};
		char		hex[PCAPI_HEX_LEN + 1];
		char		found[3];

		for (int j = 0; j < 3; j++)
			tap_is(normalized(PCAPI_COUNTRY, countries[i][j], NULL, &warning), code, "country %s", countries[i][j]);
		pcapi_hash_identifier(PCAPI_COUNTRY, code, 2, NULL, hex, &warning);
		tap_ok(pcapi_country_of_hash(hex, found), "country of the hash of %s", code);
		tap_is(found, code, "it is %s", code);
	}
	for (const char *a = letters; *a != '\0'; a++)
	{
		for (const char *b = letters; *b != '\0'; b++)
		{
			char		code[3] = {*a, *b, '\0'};
			const char *got = normalized(PCAPI_COUNTRY, code, NULL, &warning);
			bool		assigned = strcmp(code, "uk") == 0 || strcmp(code, "el") == 0;

			for (size_t i = 0; i < sizeof(countries) / sizeof(countries[0]); i++)
				assigned |= (countries[i][0][0] | 0x20) == *a && (countries[i][0][1] | 0x20) == *b;
			if ((got != NULL) != assigned)
				tap_ok(false, "country %s", code);
		}
	}
}

/* Every state by its name, in its country and in others. */
static void
test_states(void)
{
	const PcapiIdentifierContext us = {"us", 0};
	const PcapiIdentifierContext ca = {"ca", 0};
	const PcapiIdentifierContext de = {"de", 0};
	const char *warning;

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
	{
		bool		in_us = strcmp(states[i][2], "us") == 0;
		const PcapiIdentifierContext *own = in_us ? &us : &ca;
		const PcapiIdentifierContext *other = in_us ? &ca : &us;
		char		code[3] = {states[i][0][0] | 0x20, states[i][0][1] | 0x20, '\0'};

		tap_is(normalized(PCAPI_ST, states[i][1], NULL, &warning), code, "state %s", states[i][1]);
		tap_is(warning, NULL, "state %s: no warning", states[i][1]);
		tap_is(normalized(PCAPI_ST, states[i][1], own, &warning), code, "state %s of %s", states[i][1], states[i][2]);
		tap_is(normalized(PCAPI_ST, states[i][0], &de, &warning), code, "two letters stay: %s", code);
		normalized(PCAPI_ST, states[i][1], other, &warning);
		tap_is(warning, "not a two-letter code", "no state %s of %s", states[i][1], other->country);
		normalized(PCAPI_ST, states[i][1], &de, &warning);
		tap_is(warning, "not a two-letter code", "no state %s of Germany", states[i][1]);
	}
}

/* Every number of the table. */
static void
test_phones(void)
{
	for (size_t i = 0; i < sizeof(phones) / sizeof(phones[0]); i++)
	{
		PcapiIdentifierContext context = {{0}, 0};
		const char *country = phones[i][0];
		const char *warning;

		(void) pcapi_country_code(country, strlen(country), context.country);
		tap_is(normalized(PCAPI_PH, phones[i][1], &context, &warning), phones[i][2], "%s: %s", country, phones[i][1]);
		tap_is(warning, phones[i][3], "%s: %s: warning", country, phones[i][1]);
	}
	tap_ok(!pcapi_phone_may_be_national("+49 171", 7) && !pcapi_phone_may_be_national("tel: \xEF\xBC\x8B" "49", 10) &&
		   pcapi_phone_may_be_national("0171 +1", 7) && pcapi_phone_may_be_national("0049 171", 8) &&
		   !pcapi_phone_may_be_national(" ", 1) && !pcapi_phone_may_be_national("\xFF", 1) &&
		   !pcapi_phone_may_be_national("86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d", 64),
		   "a plus sign or a hash needs no country");
}

/* A birth date is compared with the day that the caller gives. */
static void
test_today(void)
{
	PcapiIdentifierContext context = {{0}, 20261127};
	const char *warning;

	tap_is(normalized(PCAPI_DB, "2026-11-27", &context, &warning), "20261127", "born today");
	tap_is(normalized(PCAPI_DB, "2026-11-28", &context, &warning), NULL, "born tomorrow");
	tap_is(warning, "in the future", "which is told");
}

int
main(void)
{
	test_countries();
	test_states();
	test_phones();
	test_today();
	return tap_done();
}

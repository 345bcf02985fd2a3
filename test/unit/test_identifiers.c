/*
 * test_identifiers.c
 *	  Normalise and hash every kind of identifier.
 */
#include <stdlib.h>
#include <string.h>

#include "core/normalize.h"
#include "core/sha256.h"
#include "core/text.h"
#include "tap.h"

#define EMAIL "not an e-mail address"
#define PHONE "not a phone number"
#define NO_CC "country code seems to be missing"
#define GENDER "not a known gender"
#define DATE "not a date, or its order can't be told"
#define LETTERS "letters in a phone number"
#define DIGEST "a digest, but not a SHA-256 in hex"
#define TYPO "domain looks misspelled"
#define FUTURE "in the future"
#define STATE "not a two-letter code"
#define COUNTRY "not a country"
#define POSTAL "not a postal code"
#define EMPTY "nothing but blanks and punctuation"
#define UTF8 "not valid UTF-8"

#define HEX_LOWER "86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d"
#define HEX_UPPER "86E0B9E56C17CC4D12387E1949B85053FBE73BC3CE5A1188713A9D300CC6133D"

static const struct
{
	PcapiKind	kind;
	const char *raw;
	const char *normalized;		/* NULL: no usable value */
	const char *warning;
}			cases[] = {
	/* e-mail */
	{PCAPI_EM, "  Example@Shop.COM ", "example@shop.com", NULL},
	{PCAPI_EM, "Jane.Doe+News@Example.com", "jane.doe+news@example.com", NULL},
	{PCAPI_EM, "MÜLLER@Example.DE", "müller@example.de", NULL},
	{PCAPI_EM, "\xE2\x80\x83" "a@b\xC2\xA0\xE3\x80\x80\t\r\n", "a@b", NULL},
	{PCAPI_EM, "shop.com", NULL, EMAIL},
	{PCAPI_EM, "@shop.com", NULL, EMAIL},
	{PCAPI_EM, "jane@", NULL, EMAIL},
	{PCAPI_EM, "@", NULL, EMAIL},
	{PCAPI_EM, "a@b@c", NULL, EMAIL},
	{PCAPI_EM, "jane doe@shop.com", NULL, EMAIL},
	{PCAPI_EM, "jane\xC2\xA0" "doe@shop.com", NULL, EMAIL},
	{PCAPI_EM, "\xE2\x80\x8B" "jane\xC2\xAD@sh\xEF\xBB\xBFop.com\xE2\x80\x8B ", "jane@shop.com", NULL},
	{PCAPI_EM, "\xE2\x80\xAA" "Jane\xE2\x81\xA0@shop.com\xE2\x80\xAC", "jane@shop.com", NULL},
	{PCAPI_EM, "M\xC3\x9CLLER\xE2\x80\x8B@Shop.DE", "müller@shop.de", NULL},
	{PCAPI_EM, "\xE2\x80\x8B", NULL, EMAIL},
	{PCAPI_EM, "mailto:Jane@Shop.com", "jane@shop.com", NULL},
	{PCAPI_EM, "MailTo: jane@shop.com?subject=Hello", "jane@shop.com", NULL},
	{PCAPI_EM, "<jane@shop.com>", "jane@shop.com", NULL},
	{PCAPI_EM, "Jane Doe <Jane@Shop.com>", "jane@shop.com", NULL},
	{PCAPI_EM, "\"Doe, Jane <JD>\" < jane@shop.com > ", "jane@shop.com", NULL},
	{PCAPI_EM, "J\xC3\xA9ro <mailto:jane@shop.com>", "jane@shop.com", NULL},
	{PCAPI_EM, "jane@shop.com>", NULL, EMAIL},
	{PCAPI_EM, "<jane@shop.com", NULL, EMAIL},
	{PCAPI_EM, "Jane <jane@shop.com> or so", NULL, EMAIL},
	{PCAPI_EM, "<>", NULL, EMAIL},
	{PCAPI_EM, "mailto:", NULL, EMAIL},
	{PCAPI_EM, "mail", NULL, EMAIL},
	{PCAPI_EM, "jane@GMIAL.com", "jane@gmial.com", TYPO},
	{PCAPI_EM, "jane@gmail.con", "jane@gmail.con", TYPO},
	{PCAPI_EM, "jane@gmail.com", "jane@gmail.com", NULL},
	{PCAPI_EM, "", NULL, NULL},
	{PCAPI_EM, " \t\xE2\x80\xA8 ", NULL, NULL},
	{PCAPI_EM, "jane@shop.com\xFF", NULL, UTF8},
	{PCAPI_EM, "\xC0\xAF@shop.com", NULL, UTF8},	/* overlong */
	{PCAPI_EM, "\xED\xA0\x80@shop.com", NULL, UTF8},	/* a surrogate */

	/* telephone */
	{PCAPI_PH, "+1 (234) 567-890", "1234567890", NULL},
	{PCAPI_PH, "0044 20 7946 0958", "442079460958", NULL},
	{PCAPI_PH, " (+49) 30 / 1234567 ", "49301234567", NULL},
	{PCAPI_PH, "+1 212 555 1234 x99", "12125551234", NULL},
	{PCAPI_PH, "+1 212 555 1234 ext. 99", "12125551234", NULL},
	{PCAPI_PH, "+1 212 555 1234 EXT 99", "12125551234", NULL},
	{PCAPI_PH, "+1-212-555-1234#99", "12125551234", NULL},
	{PCAPI_PH, "tel:+1-212-555-1234;ext=99", "12125551234", NULL},
	{PCAPI_PH, "fax +1 212 555 1234", "12125551234", NULL},
	{PCAPI_PH, "212 555 1234", "2125551234", NO_CC},
	{PCAPI_PH, "0171 1234567", "1711234567", NO_CC},
	{PCAPI_PH, "+٤٩ ٣٠ ١٢٣٤٥٦٧", "49301234567", NULL},
	{PCAPI_PH, "＋８１ ３ １２３４ ５６７８", "81312345678", NULL},
	{PCAPI_PH, "+९१ ९८७६५ ४३२१०", "919876543210", NULL},
	{PCAPI_PH, "+𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟠", "12345678", NULL},
	{PCAPI_PH, "+123456", NULL, PHONE},
	{PCAPI_PH, "+1234567", "1234567", NULL},
	{PCAPI_PH, "+123456789012345", "123456789012345", NULL},
	{PCAPI_PH, "+1234567890123456", NULL, PHONE},
	{PCAPI_PH, "000000000000000", NULL, PHONE},
	{PCAPI_PH, "00000000000000000000491234567", "491234567", NULL},
	{PCAPI_PH, "none", NULL, PHONE},
	{PCAPI_PH, "", NULL, NULL},

	{PCAPI_PH, "+49 (0)30 1234567", "49301234567", NULL},
	{PCAPI_PH, "0049 ( 0 ) 30 1234567", "49301234567", NULL},
	{PCAPI_PH, "49 (0)30 1234567", "49301234567", NULL},
	{PCAPI_PH, "+49 030 1234567", "49301234567", NULL},
	{PCAPI_PH, "+44(0)2079460958", "442079460958", NULL},
	{PCAPI_PH, "＋４９（０）３０１２３４５６７", "49301234567", NULL},
	{PCAPI_PH, "+39 (0)6 6982 1234", "390669821234", NULL},
	{PCAPI_PH, "+39 06 6982 1234", "390669821234", NULL},
	{PCAPI_PH, "+7 (0)912 345-67-89", "79123456789", NULL},
	{PCAPI_PH, "+1 204 555 0123", "12045550123", NULL},
	{PCAPI_PH, "+40 021 123 4567", "40211234567", NULL},
	{PCAPI_PH, "(0)30 1234567", "301234567", NO_CC},
	{PCAPI_PH, "+0171 1234567", "1711234567", NO_CC},
	{PCAPI_PH, "+1-800-555-CALL", NULL, LETTERS},
	{PCAPI_PH, "1-800-FLOWERS (356-9377)", NULL, LETTERS},
	{PCAPI_PH, "+1 800 555 XRAY", NULL, LETTERS},
	{PCAPI_PH, "555 1234 home", NULL, LETTERS},
	{PCAPI_PH, "+49 171 1234567 (work)", "491711234567", NULL},
	{PCAPI_PH, "+49 171 1234567 (", "491711234567", NULL},
	{PCAPI_PH, "+49 171 1234567 (CALL 2255)", NULL, LETTERS},
	{PCAPI_PH, "+1 212 555 1234 extension 99", "12125551234", NULL},
	{PCAPI_PH, "+7 495 123-45-67 доб. 12", "74951234567", NULL},
	{PCAPI_PH, "+1 212 555 1234 ｅｘｔ 99", "12125551234", NULL},
	{PCAPI_PH, "+1 212 555 1234 extraordinarily", NULL, LETTERS},
	{PCAPI_PH, "+1 212 555 1234 телефон", NULL, LETTERS},
	{PCAPI_PH, "tel:+1-212-555-1234;phone-context=example.com", "12125551234", NULL},
	{PCAPI_PH, "0000000000000000000000000000000000000000000000000000000000000000000491234567", NULL, PHONE},

	/* digests of another kind */
	{PCAPI_PH, "5d41402abc4b2a76b9719d911017c592", NULL, DIGEST},
	{PCAPI_PH, "12345678901234567890123456789012", NULL, DIGEST},
	{PCAPI_EM, "5D41402ABC4B2A76B9719D911017C592", NULL, DIGEST},
	{PCAPI_FN, "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", NULL, DIGEST},
	{PCAPI_CT, "59e1748777448c69de6b800d7a33bbfb9ff1b463e44354c3553bcdb9c666fa90125a3c79f90397bdf5f6a13de828684f", NULL, DIGEST},
	{PCAPI_LN, "9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043", NULL, DIGEST},
	{PCAPI_LN, "XUFAKrxLKna5cZ2REBfFkg==", NULL, DIGEST},
	{PCAPI_LN, "XUFAKrxLKna5cZ2REBfFkg", NULL, DIGEST},
	{PCAPI_ZP, "qvTGHdzF6KLavt4PO0gs2a6pQ00=", NULL, DIGEST},
	{PCAPI_EM, "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", NULL, DIGEST},
	{PCAPI_EM, "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ", NULL, DIGEST},
	{PCAPI_FN, "WeF0h3dEjGnea4ANejO7+5/xtGPkQ1TDVTvNucZm+pASWjx5+QOXvfX2oT3oKGhP", NULL, DIGEST},
	{PCAPI_FN, "m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==", NULL, DIGEST},
	{PCAPI_ZP, "5d41402a-bc4b-2a76-b971-9d911017c592", NULL, DIGEST},
	{PCAPI_CT, "Llanfairpwllgwyngyllgo", "llanfairpwllgwyngyllgo", NULL},
	{PCAPI_EXTERNAL_ID, "5d41402abc4b2a76b9719d911017c592", "5d41402abc4b2a76b9719d911017c592", NULL},
	{PCAPI_MAIDS, "7A3CBEA0BDF511E48DFCAA07A5B093DB", "7a3cbea0bdf511e48dfcaa07a5b093db", NULL},

	/* gender */
	{PCAPI_GE, "Female", "f", NULL},
	{PCAPI_GE, "woman", "f", NULL},
	{PCAPI_GE, "F", "f", NULL},
	{PCAPI_GE, "MALE", "m", NULL},
	{PCAPI_GE, "man", "m", NULL},
	{PCAPI_GE, " M ", "m", NULL},
	{PCAPI_GE, "Non-Binary", "n", NULL},
	{PCAPI_GE, "nonbinary", "n", NULL},
	{PCAPI_GE, "other", "n", NULL},
	{PCAPI_GE, "X", "n", NULL},
	{PCAPI_GE, "n", "n", NULL},
	{PCAPI_GE, "femal", NULL, GENDER},
	{PCAPI_GE, "1", NULL, GENDER},
	{PCAPI_GE, " ", NULL, NULL},

	/* date of birth */
	{PCAPI_DB, "1996-02-01", "19960201", NULL},
	{PCAPI_DB, "1996/02/01", "19960201", NULL},
	{PCAPI_DB, "19960201", "19960201", NULL},
	{PCAPI_DB, "1996-2-1", "19960201", NULL},
	{PCAPI_DB, "1996-02-01T00:00:00Z", "19960201", NULL},
	{PCAPI_DB, "1996-02-01 23:59:59.5+02:00", "19960201", NULL},
	{PCAPI_DB, "1996-02-01 9:30 PM", "19960201", NULL},
	{PCAPI_DB, "19960201T103000", "19960201", NULL},
	{PCAPI_DB, "2000-02-29", "20000229", NULL},
	{PCAPI_DB, "1900-02-29", NULL, DATE},
	{PCAPI_DB, "1999-02-29", NULL, DATE},
	{PCAPI_DB, "1996-04-31", NULL, DATE},
	{PCAPI_DB, "1996-13-01", NULL, DATE},
	{PCAPI_DB, "1996-00-01", NULL, DATE},
	{PCAPI_DB, "0000-01-01", NULL, DATE},
	{PCAPI_DB, "03/04/1990", NULL, DATE},
	{PCAPI_DB, "03041990", NULL, DATE},
	{PCAPI_DB, "13.04.1990", NULL, DATE},
	{PCAPI_DB, "1996-02/01", NULL, DATE},
	{PCAPI_DB, "1996-02-011", NULL, DATE},
	{PCAPI_DB, "1996-02", NULL, DATE},
	{PCAPI_DB, "1996", NULL, DATE},
	{PCAPI_DB, "1996-02-01 or so", NULL, DATE},
	{PCAPI_DB, "1996-02-01T", NULL, DATE},
	{PCAPI_DB, "yesterday", NULL, DATE},
	{PCAPI_DB, "2999-01-01", NULL, FUTURE},
	{PCAPI_DB, "2100-01-01", "21000101", NULL},
	{PCAPI_DB, "2100-01-02", NULL, FUTURE},
	{PCAPI_DB, "", NULL, NULL},

	/* names */
	{PCAPI_FN, "Mary Ann", "mary ann", NULL},
	{PCAPI_FN, " JEAN-LUC ", "jean-luc", NULL},
	{PCAPI_LN, "O'Brien", "o'brien", NULL},
	{PCAPI_LN, "ÅNGSTRÖM", "ångström", NULL},
	{PCAPI_LN, "A\xCC\x8ANGSTRO\xCC\x88M", "ångström", NULL},
	{PCAPI_LN, "\xE2\x84\xAB", "å", NULL},	/* the angstrom sign */
	{PCAPI_FN, "É", "é", NULL},
	{PCAPI_FN, "E\xCC\x81", "é", NULL},
	{PCAPI_FN, "İnci", "inci", NULL},
	{PCAPI_FN, "I\xCC\x87nci", "inci", NULL},
	{PCAPI_FN, "IRMAK", "irmak", NULL},
	{PCAPI_FN, "Irmak ıI", "irmak ıi", NULL},
	{PCAPI_LN, "ΟΔΥΣΣΕΥΣ", "οδυσσευσ", NULL},	/* no final sigma */
	{PCAPI_LN, "STRAẞE", "straße", NULL},
	{PCAPI_LN, "ИВАНОВ", "иванов", NULL},
	{PCAPI_LN, "ȺȾ", "ⱥⱦ", NULL},	/* grows from two bytes to three */
	{PCAPI_LN, "山田", "山田", NULL},
	{PCAPI_FN, "  ", NULL, NULL},

	/* city */
	{PCAPI_CT, "St. Louis", "stlouis", NULL},
	{PCAPI_CT, "Saint-Étienne", "saintétienne", NULL},
	{PCAPI_CT, "Menlo Park", "menlopark", NULL},
	{PCAPI_CT, "L\xE2\x80\x99" "Aquila", "laquila", NULL},
	{PCAPI_CT, "New\xC2\xA0York\xE3\x80\x80" "City", "newyorkcity", NULL},
	{PCAPI_CT, "東京・中央", "東京中央", NULL},
	{PCAPI_CT, "e-\xCC\x81", "é", NULL},	/* composes after the dash is removed */
	{PCAPI_CT, "-- .", NULL, EMPTY},
	{PCAPI_CT, "", NULL, NULL},

	/* state */
	{PCAPI_ST, "CA", "ca", NULL},
	{PCAPI_ST, "c.a.", "ca", NULL},
	{PCAPI_ST, "New York", "ny", NULL},
	{PCAPI_ST, "Washington, D.C.", "dc", NULL},
	{PCAPI_ST, "Québec", "qc", NULL},
	{PCAPI_ST, "Île-du-Prince-Édouard", "pe", NULL},
	{PCAPI_ST, "Bayern", "bayern", STATE},
	{PCAPI_ST, "75", "75", STATE},
	{PCAPI_ST, "é", "é", STATE},
	{PCAPI_ST, "..", NULL, EMPTY},

	/* postal code */
	{PCAPI_ZP, "10001-1234", "100011234", NULL},
	{PCAPI_ZP, "94025", "94025", NULL},
	{PCAPI_ZP, "SW1A 1AA", "sw1a1aa", NULL},
	{PCAPI_ZP, "K1A-0B1", "k1a0b1", NULL},
	{PCAPI_ZP, "113 51", "11351", NULL},
	{PCAPI_ZP, "〒100-0001", "1000001", NULL},
	{PCAPI_ZP, "١٢٣٤٥", "12345", NULL},
	{PCAPI_ZP, "+", NULL, POSTAL},
	{PCAPI_ZP, "-", NULL, EMPTY},

	/* country */
	{PCAPI_COUNTRY, "US", "us", NULL},
	{PCAPI_COUNTRY, " de ", "de", NULL},
	{PCAPI_COUNTRY, "USA", "us", NULL},
	{PCAPI_COUNTRY, "U.S.A.", "us", NULL},
	{PCAPI_COUNTRY, "U.S.", "us", NULL},
	{PCAPI_COUNTRY, "Germany", "de", NULL},
	{PCAPI_COUNTRY, "Deutschland", "de", NULL},
	{PCAPI_COUNTRY, "DEU", "de", NULL},
	{PCAPI_COUNTRY, "UK", "gb", NULL},
	{PCAPI_COUNTRY, "EL", "gr", NULL},
	{PCAPI_COUNTRY, "Great Britain", "gb", NULL},
	{PCAPI_COUNTRY, "Côte d\xE2\x80\x99Ivoire", "ci", NULL},
	{PCAPI_COUNTRY, "COTE D'IVOIRE", "ci", NULL},
	{PCAPI_COUNTRY, "Ελλάς", NULL, COUNTRY},
	{PCAPI_COUNTRY, "ΕΛΛΑΔΑ", "gr", NULL},
	{PCAPI_COUNTRY, "Россия", "ru", NULL},
	{PCAPI_COUNTRY, "日本", "jp", NULL},
	{PCAPI_COUNTRY, "대한민국", "kr", NULL},
	{PCAPI_COUNTRY, "مصر", "eg", NULL},
	{PCAPI_COUNTRY, "Trinidad & Tobago", "tt", NULL},
	{PCAPI_COUNTRY, "The Netherlands", "nl", NULL},
	{PCAPI_COUNTRY, "XX", NULL, COUNTRY},
	{PCAPI_COUNTRY, "ZZZ", NULL, COUNTRY},
	{PCAPI_COUNTRY, "EU", NULL, COUNTRY},
	{PCAPI_COUNTRY, "Korea", NULL, COUNTRY},
	{PCAPI_COUNTRY, "..", NULL, COUNTRY},
	{PCAPI_COUNTRY, "é", NULL, COUNTRY},
	{PCAPI_COUNTRY, "D1", NULL, COUNTRY},
	{PCAPI_COUNTRY, "", NULL, NULL},

	/* external id: neither case nor composition changes */
	{PCAPI_EXTERNAL_ID, " User-ABC 42\n", "User-ABC 42", NULL},
	{PCAPI_EXTERNAL_ID, "E\xCC\x81", "E\xCC\x81", NULL},
	{PCAPI_EXTERNAL_ID, " ", NULL, NULL},
	{PCAPI_EXTERNAL_ID, "a\xFE", NULL, UTF8},

	/* advertising ids */
	{PCAPI_MAIDS, " 7A3CBEA0-BDF5-11E4-8DFC-AA07A5B093DB", "7a3cbea0-bdf5-11e4-8dfc-aa07a5b093db", NULL},
	{PCAPI_MAIDS, "00000000-0000-0000-0000-000000000000", NULL, NULL},
	{PCAPI_MAIDS, "00000000000000000000000000000000", NULL, NULL},
	{PCAPI_MAIDS, "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001", NULL}
};

static const struct
{
	PcapiKind	kind;
	const char *raw;
	const char *hash;
}			vectors[] = {
	{PCAPI_EM, " Jane.Doe@Example.com ", "86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d"},
	{PCAPI_EM, "abc@gmail.com", "48ddb93f0b30c475423fe177832912c5bcdce3cc72872f8051627967ef278e08"},
	{PCAPI_EM, "müller@example.de", "eb2f85748266705ba113bc5c4ee633d9c2a7cc769d5f6d9f9767b854584b3c88"},
	{PCAPI_PH, "+1234589947", "d164bbe036663cb5c96835e9ccc6501e9a521127ea62f6359744928ba932413b"},
	{PCAPI_PH, "+1 (212) 555-1234", "4b4fb60638907d714a7207905d24b5e09de607ff2d776623c998b47eeb31c309"},
	{PCAPI_PH, "0044 20 7946 0958", "35e206e5dec4c89b9e8b71b8c32724a5bb518483ac5a20c6617d738375b3b823"},
	{PCAPI_GE, "M", "62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a"},
	{PCAPI_GE, "f", "252f10c83610ebca1a059c0bae8255eba2f95be4d1d7bcfa89d7248a82d9f111"},
	{PCAPI_GE, "n", "1b16b1df538ba12dc3f97edbb85caa7050d46c148134290feba80f8236c83db9"},
	{PCAPI_DB, "1996-03-14", "25f0dd07093aa653929e6e4d7710eeee84073ce654786612c09d1db67114c7ef"},
	{PCAPI_LN, "Rudderlabs", "dcf000c2386fb76d22cefc0d118a8511bb75999019cd373df52044bccd1bd251"},
	{PCAPI_LN, "Doe", "799ef92a11af918e3fb741df42934f3b568ed2d93ac1df74f1b8d41a27932a6f"},
	{PCAPI_FN, "Test", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
	{PCAPI_FN, "Jane", "81f8f6dde88365f3928796ec7aa53f72820b06db8664f5fe76a7eb13e24546a2"},
	{PCAPI_CT, "Kolkata", "6689106ca7922c30b2fd2c175c85bc7fc2d52cc4941bdd7bb622c6cdc6284a85"},
	{PCAPI_CT, "Menlo Park", "0007a3d64c01e23d5075203c5977c14e4f7e01a3fc570686fcc50b5e1dd42685"},
	{PCAPI_CT, "St. Louis", "8ba24bdf99947996f3000259be455de791b06fcc0e802ce05031030df1ee8ea3"},
	{PCAPI_ST, "WB", "3b45022ab36728cdae12e709e945bba267c50ee8a91e6e4388539a8e03a3fdcd"},
	{PCAPI_ST, "CA", "6959097001d10501ac7d54c0bdb8db61420f658f2922cc26e46d536119a31126"},
	{PCAPI_ZP, "700114", "1a4292e00780e18d00e76fde9850aee5344e939ba593333cd5e4b4aa2cd33b0c"},
	{PCAPI_ZP, "94025", "b9a9cf3cd3723a2e91b7c23ecf68456e872b6e5d86e5cab7f3d45a7302da32c7"},
	{PCAPI_ZP, "94025-1234", "949ec86c69e33d96b5d33f08224429e8f73b24563d5105e65848dab17944c3f3"},
	{PCAPI_COUNTRY, "IN", "582967534d0f909d196b97f9e6921342777aea87b46fa52df165389db1fb8ccf"},
	{PCAPI_COUNTRY, "US", "79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621"},
	{PCAPI_EXTERNAL_ID, "50be5c78-6c3f-4b60-be84-97805a316fb1", "3217d71a74c219d6e31e28267b313a7ceb6a2c032db1a091c9416b25b2ae2bc8"},
	{PCAPI_EXTERNAL_ID, "user-12345", "43a2f41a7bffacce74013d74a2f459db5d69d38e061cb8d0e5e262102e2d98d7"},
	{PCAPI_MAIDS, "abc123", "6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090"},
	{PCAPI_MAIDS, "38400000-8cf0-11bd-b23e-10b96e40000d", "d4181bb455a74b3bc8b37c75ac9b2c702eb6b9930bd040b861403b31ca85634d"},
	{PCAPI_MAIDS, "EA7583CD-A667-48BC-B806-42ECB2B48606", "6cd6140c54b2741b81b0099b232a3ddaeed82df456f43563574877baec22b632"},
	/* hashed unchanged, since an external id keeps its case */
	{PCAPI_EXTERNAL_ID, "EA7583CD-A667-48BC-B806-42ECB2B48606", "70574fa9c8f498a7b2e5c8712b1126de7b1406fd02fdc591821c5bd33092fd1c"}
};

/* Look up every kind by its key, and its key by the kind. */
static void
test_kinds(void)
{
	for (int kind = 0; kind < PCAPI_KINDS; kind++)
	{
		const char *name = pcapi_kind_name((PcapiKind) kind);

		tap_ok(pcapi_kind_from_name(name, strlen(name)) == kind, "kind %s", name);
	}
	tap_ok(pcapi_kind_from_name("emx", 2) == PCAPI_EM, "a name's length counts");
	tap_ok(pcapi_kind_from_name("emx", 3) == -1, "no kind emx");
	tap_ok(pcapi_kind_from_name("EM", 2) == -1, "no kind EM");
	tap_ok(pcapi_kind_from_name("", 0) == -1, "no kind without a name");
}

/* Normalise every case of the table, and hash it. */
static void
test_cases(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *name = pcapi_kind_name(cases[i].kind);
		const char *raw = cases[i].raw;
		char	   *got;
		size_t		len;
		const char *warning;
		char		hex[PCAPI_HEX_LEN + 1];
		bool		ok = pcapi_normalize(cases[i].kind, raw, strlen(raw), NULL, &got, &len, &warning);

		tap_is(got, cases[i].normalized, "%s: %s", name, raw);
		tap_is(warning, cases[i].warning, "%s: %s: warning", name, raw);
		tap_ok(ok == (got != NULL) && (!ok || len == strlen(got)), "%s: %s: length", name, raw);

		ok = pcapi_hash_identifier(cases[i].kind, raw, strlen(raw), NULL, hex, &warning);
		tap_is(warning, cases[i].warning, "%s: %s: warning when hashing", name, raw);
		if (cases[i].normalized == NULL)
			tap_ok(!ok && hex[0] == '\0', "%s: %s: nothing is hashed", name, raw);
		else
		{
			unsigned char digest[32];
			char		expected[PCAPI_HEX_LEN + 1];

			pcapi_sha256(cases[i].normalized, strlen(cases[i].normalized), digest);
			pcapi_hex(digest, 32, expected);
			tap_is(ok ? hex : NULL, expected, "%s: %s: hash", name, raw);
		}
		free(got);
	}
}

/* Compare with known hashes. */
static void
test_vectors(void)
{
	char		hex[PCAPI_HEX_LEN + 1];
	const char *warning;
	unsigned char digest[32];

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
	{
		bool		ok = pcapi_hash_identifier(vectors[i].kind, vectors[i].raw,
											   strlen(vectors[i].raw), NULL, hex, &warning);

		tap_is(ok ? hex : NULL, vectors[i].hash, "hash of %s %s",
			   pcapi_kind_name(vectors[i].kind), vectors[i].raw);
	}

	tap_ok(pcapi_sha256("", 0, digest), "SHA-256 of nothing");
	pcapi_hex(digest, 32, hex);
	tap_is(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "its value");
	pcapi_hash_identifier(PCAPI_EM, "mu\xCC\x88ller@example.de", 19, NULL, hex, &warning);
	tap_is(hex, "eb2f85748266705ba113bc5c4ee633d9c2a7cc769d5f6d9f9767b854584b3c88",
		   "decomposed and composed letters hash alike");
}

/* A SHA-256 in hex is kept, in lower case. */
static void
test_hashes_pass(void)
{
	const char *warning;

	for (int kind = 0; kind < PCAPI_KINDS; kind++)
	{
		const char *name = pcapi_kind_name((PcapiKind) kind);
		const char *raw = " " HEX_UPPER "\xC2\xA0";
		char		hex[PCAPI_HEX_LEN + 1];
		char	   *got;
		size_t		len;

		tap_ok(pcapi_hash_identifier((PcapiKind) kind, raw, strlen(raw), NULL, hex, &warning),
			   "%s: a hash is taken", name);
		tap_is(hex, HEX_LOWER, "%s: a hash passes, lower-cased", name);
		tap_is(warning, NULL, "%s: without a warning", name);
		pcapi_normalize((PcapiKind) kind, raw, strlen(raw), NULL, &got, &len, &warning);
		tap_is(got, HEX_LOWER, "%s: and is what normalising returns", name);
		free(got);
	}
	tap_ok(pcapi_is_sha256_hex(HEX_UPPER, 64), "64 hex digits");
	tap_ok(!pcapi_is_sha256_hex(HEX_UPPER, 63), "63 are none");
	tap_ok(!pcapi_is_sha256_hex("g" HEX_UPPER, 64), "g is no hex digit");
}

/* Values at the limit of length, and beyond it. */
static void
test_limits(void)
{
	char	   *huge = malloc(PCAPI_MAX_IDENTIFIER + 1);
	char	   *got;
	size_t		len;
	const char *warning;

	memset(huge, 'A', PCAPI_MAX_IDENTIFIER + 1);
	tap_ok(pcapi_normalize(PCAPI_LN, huge, PCAPI_MAX_IDENTIFIER, NULL, &got, &len, &warning) &&
		   len == PCAPI_MAX_IDENTIFIER && got[len - 1] == 'a', "the longest ASCII value");
	free(got);
	tap_ok(!pcapi_normalize(PCAPI_LN, huge, PCAPI_MAX_IDENTIFIER + 1, NULL, &got, &len, &warning),
		   "a byte more is none");
	tap_is(warning, "too long", "and says so");

	for (int i = 0; i < PCAPI_MAX_IDENTIFIER; i++)
		huge[i] = "Ⱥ"[i % 2];
	tap_ok(pcapi_normalize(PCAPI_LN, huge, PCAPI_MAX_IDENTIFIER, NULL, &got, &len, &warning) &&
		   len == PCAPI_MAX_IDENTIFIER / 2 * 3, "a value that grows");
	free(got);
	free(huge);

	tap_ok(!pcapi_normalize(PCAPI_EM, "a\0@b", 4, NULL, &got, &len, &warning), "NUL inside");
	tap_is(warning, UTF8, "is no text");
	tap_ok(!pcapi_normalize(PCAPI_EM, "jane@shop.com", 0, NULL, &got, &len, &warning) &&
		   warning == NULL, "length zero");
	tap_ok(pcapi_normalize(PCAPI_EM, "a@bcd", 3, NULL, &got, &len, &warning), "no terminator needed");
	tap_is(got, "a@b", "length is what counts");
	free(got);
	tap_ok(pcapi_utf8_valid("", 0) && pcapi_utf8_valid("a\xF4\x8F\xBF\xBF", 5) &&
		   !pcapi_utf8_valid("\xF4\x90\x80\x80", 4) && !pcapi_utf8_valid("a\xE2\x82", 3) &&
		   !pcapi_utf8_valid("\x80", 1), "UTF-8's bounds");
}

/* Fold names of events: equal but for case, in every locale. */
static void
test_fold(void)
{
	static const char *const cases[][2] = {
		{"Order Placed", "order placed"},
		{"SIGNUP", "signup"},	/* Turkish would have a dotless i */
		{"\xC4\xB0", "i"},		/* the dotted capital one */
		{"\xC3\x89T\xC3\x89", "\xC3\xA9t\xC3\xA9"},
		{"E\xCC\x81", "\xC3\xA9"},	/* composed */
		{" a  b ", " a  b "},	/* nothing but case */
		{"", ""}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char	   *folded = pcapi_fold(cases[i][0], strlen(cases[i][0]));

		tap_is(folded, cases[i][1], "folded: %s", cases[i][0]);
		free(folded);
	}
	tap_ok(pcapi_fold("\xFF", 1) == NULL, "no text has no fold");
}

int
main(void)
{
	test_kinds();
	test_cases();
	test_vectors();
	test_hashes_pass();
	test_limits();
	test_fold();
	return tap_done();
}

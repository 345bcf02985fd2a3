/*
 * test_pii.c
 *	  Find personal data in free text, and none in shops' own numbers.
 *
 * If the argument is a file, such as names of products, nothing may be found in
 * any of its lines.
 */
#include <stdio.h>
#include <string.h>

#include "core/pii.h"
#include "tap.h"

#define EMAIL "an e-mail address"
#define PHONE "a phone number"
#define CARD "a payment card number"
#define SSN "a social security number"
#define IBAN "an IBAN"

static const char *const cases[][2] = {
	/* e-mail */
	{"jane@shop.example", EMAIL},
	{"gift for jane.doe+x@mail.shop.example, please", EMAIL},
	{"<jane@shop.example>", EMAIL},
	{"jane@shop.example.", EMAIL},
	{"JANE@SHOP.COM", EMAIL},
	{"jane%40shop.example", EMAIL},
	{"müller@müller.example", EMAIL},
	{"user@xn--mller-kva.xn--p1ai", EMAIL},
	{"jane@192.shop.com", EMAIL},
	{"@shop", NULL},
	{"follow @shop.example", NULL},
	{"meet @ 5.30", NULL},
	{"3 @ 5.00 each", NULL},
	{"a@b", NULL},
	{"jane@localhost", NULL},
	{"100% @home", NULL},
	{"@", NULL},
	{"@@@@", NULL},
	{"M@trix", NULL},

	/* telephone */
	{"+1 (212) 555-1234", PHONE},
	{"call +442079460958 now", PHONE},
	{"+44 20 7946 0958", PHONE},
	{"+49-30-1234567", PHONE},
	{"tel:+12125551234", PHONE},
	{"(+49) 30 1234567", PHONE},
	{"+1.212.555.1234", PHONE},
	{"0044 20 7946 0958", PHONE},
	{"0049 176 80817263 3.5 12 pieces", PHONE},	/* other numbers after it */
	{"+44 20 7946 0958 12345678", PHONE},
	{"+442079460958 2024-11-24", PHONE},
	{"%2B44%2020%207946%200958", PHONE},
	{"q=+44%2020%207946%200958&x", PHONE},
	{"+12345678.90 +12345678.90", NULL},
	{"%2", NULL},
	{"100%", NULL},
	{"50%20off", NULL},
	{"+12345", NULL},
	{"+1234567890123456", NULL},
	{"+12345678.90", NULL},
	{"10:00:00+01:00", NULL},
	{"2024-11-24T10:00:00+0100", NULL},
	{"+100 +200 +300 +400", NULL},
	{"C++ 20231234567", NULL},
	{"1+23456789012", NULL},
	{"+0123456789", NULL},
	{"555-1234", NULL},
	{"0012345678905", NULL},	/* a UPC written as EAN */
	{"00 12345 67890 5", NULL},
	{"0.0044 20 7946 0958", NULL},

	/* payment cards: the schemes' own test numbers */
	{"4111111111111111", CARD},
	{"4111 1111 1111 1111", CARD},
	{"card 4111-1111-1111-1111 exp", CARD},
	{"5555555555554444", CARD},
	{"2223003122003222", CARD},
	{"378282246310005", CARD},
	{"3782 822463 10005", CARD},
	{"6011111111111117", CARD},
	{"3530111333300000", CARD},
	{"30569309025904", CARD},
	{"3056 930902 5904", CARD},
	{"6200000000000005", CARD},
	{"order 17 4111 1111 1111 1111", CARD},
	{"カード4111111111111111", CARD},
	{"4111111111111112", NULL},	/* Luhn */
	{"4111 1111-1111 1111", NULL},	/* mixed separators */
	{"41111111111111111111", NULL},
	{"1111111111111117", NULL}, /* no scheme's range */
	{"x4111111111111111", NULL},
	{"ORD-4111111111111111", NULL},
	{"4111111111111111_2", NULL},

	/* social security numbers */
	{"123-45-6789", SSN},
	{"ssn: 123-45-6789.", SSN},
	{"000-45-6789", NULL},
	{"666-45-6789", NULL},
	{"900-45-6789", NULL},
	{"123-00-6789", NULL},
	{"123-45-0000", NULL},
	{"123456789", NULL},
	{"123-45-67890", NULL},
	{"1123-45-6789", NULL},
	{"A-123-45-6789", NULL},
	{"123-45-6789-1", NULL},

	/* IBAN: the registry's examples */
	{"DE89370400440532013000", IBAN},
	{"DE89 3704 0044 0532 0130 00", IBAN},
	{"pay to GB29NWBK60161331926819 please", IBAN},
	{"gb29 nwbk 6016 1331 9268 19", IBAN},
	{"FR1420041010050500013M02606", IBAN},
	{"NO9386011117947", IBAN},
	{"MT84MALT011000012345MTLCAST001S", IBAN},
	{"DE89370400440532013001", NULL},
	{"DE8937040044053201300", NULL},
	{"DE893704004405320130001", NULL},
	{"XX89370400440532013000", NULL},
	{"DE89", NULL},

	/* shops' own numbers and texts */
	{"4006381333931", NULL},	/* EAN-13 */
	{"4012345678901", NULL},
	{"036000291452", NULL},
	{"5901234123457", NULL},
	{"9783161484100", NULL},
	{"978-3-16-148410-0", NULL},
	{"10614141000415", NULL},	/* GTIN-14 */
	{"123e4567-e89b-12d3-a456-426614174000", NULL},
	{"41111111-1111-1111-1111-111111111111", NULL},
	{"00000000-4111-1111-1111-111111111111", NULL},
	{"019a1b2c-4111-7111-8111-411111111111", NULL},
	{"86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d", NULL},
	{"2024-11-24", NULL},
	{"2024-11-24 10:30:00.123456", NULL},
	{"20241124103000", NULL},
	{"1732444200000000000", NULL},	/* nanoseconds */
	{"1732444200000000", NULL},
	{"order 1000123456", NULL},
	{"ORD-2024-000123", NULL},
	{"111-1234567-1234567", NULL},
	{"1Z999AA10123456784", NULL},
	{"$1,234,567.89", NULL},
	{"1 234 567,89 EUR", NULL},
	{"192.168.100.200", NULL},
	{"2001:db8::4111:1111:1111:1111", NULL},
	{"M12x1.75 100 mm 4-pack", NULL},
	{"iPhone 15 Pro Max 256GB (MU6T3LL/A)", NULL},
	{"LEGO 75192 Millennium Falcon, 7541 pieces", NULL},
	{"dj0yJnU9dGVzdCZwPTImbj1hYmM", NULL},
	{"867-5309/Jenny", NULL},
	{"1234", NULL},
	{"", NULL}
};

/* Nothing may be found in any line of a file. */
static void
test_file(const char *path)
{
	char		line[1024];
	FILE	   *file = fopen(path, "r");
	int			lines = 0;
	int			found = 0;

	tap_ok(file != NULL, "%s can be read", path);
	if (file == NULL)
		return;
	while (fgets(line, sizeof(line), file) != NULL)
	{
		size_t		len = strcspn(line, "\n");
		const char *what = pcapi_pii_find(line, len);

		lines++;
		if (what != NULL)
		{
			found++;
			printf("# line %d is taken for %s\n", lines, what);
		}
	}
	fclose(file);
	tap_ok(lines > 0 && found == 0, "%d of its %d lines are taken for personal data", found, lines);
}

int
main(int argc, char **argv)
{
	char		text[300];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *raw = cases[i][0];

		tap_is(pcapi_pii_find(raw, strlen(raw)), cases[i][1], "%s", raw);
		snprintf(text, sizeof(text), "« %s »", raw);
		tap_is(pcapi_pii_find(text, strlen(text)), cases[i][1], "%s", text);
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *raw = cases[i][0];
		bool		card = cases[i][1] != NULL && strcmp(cases[i][1], CARD) == 0;

		tap_is(pcapi_pii_find_in_id(raw, strlen(raw)), card ? NULL : cases[i][1], "as an id: %s", raw);
	}
	tap_is(pcapi_pii_find("4111111111111111", 15), NULL, "text ends where its length says");
	tap_is(pcapi_pii_find("\0jane@shop.example", 18), EMAIL, "and not at a NUL");
	if (argc > 1)
		test_file(argv[1]);
	return tap_done();
}

/*
 * pii.c
 *	  Find personal data in free text, which must not be sent.
 *
 * Every rule needs a form that shops' own numbers do not have: a check digit,
 * a known issuer or country, or the punctuation people write.  A number of 13
 * digits is an article (EAN, UPC), never a card.  A UUID is skipped whole.
 *
 * The scanner is hand-written because regular expressions compute no check
 * digit: libc's or PCRE2 would find candidates, and luhn(), iban_checksum() and
 * the tables would stay.  It reads one of ten property values in 0.2 us on
 * average, where one expression for the same forms takes 1.1 us in libc's
 * regexec and 0.7 us in PCRE2's compiled form, which would be another
 * library to depend on (make -C test/unit speed, 2026-11-27).  Each property
 * of each event passes here, in the caller's transaction.
 */
#include "core/pii.h"

#include <string.h>

#include "core/text.h"

typedef struct Scan
{
	const char *s;
	size_t		len;
} Scan;

static const char looks_email[] = "an e-mail address";
static const char looks_phone[] = "a phone number";
static const char looks_card[] = "a payment card number";
static const char looks_ssn[] = "a social security number";
static const char looks_iban[] = "an IBAN";

/* Return the byte at i, 0 past the end, so that callers need no bounds. */
static inline char
at(const Scan *scan, size_t i)
{
	return i < scan->len ? scan->s[i] : '\0';
}

static inline bool
digit_at(const Scan *scan, size_t i)
{
	return pcapi_ascii_digit(at(scan, i));
}

static inline bool
word_at(const Scan *scan, size_t i)
{
	return pcapi_ascii_alnum(at(scan, i)) || at(scan, i) == '_';
}

/* May a number begin at i, given what stands before it? */
static bool
begins_at(const Scan *scan, size_t i)
{
	return i == 0 || !(word_at(scan, i - 1) || at(scan, i - 1) == '-');
}

/* May a number end before i, given what stands there? */
static bool
ends_at(const Scan *scan, size_t i)
{
	return !word_at(scan, i) && !(at(scan, i) == '-' && word_at(scan, i + 1));
}

/* --- e-mail --- */

/* Is c allowed before the @ of an address? */
static bool
address_char(char c)
{
	return pcapi_ascii_alnum(c) || (unsigned char) c >= 0x80 ||
		(c != '\0' && strchr("!#$%&'*+/=?^_`{|}~-", c) != NULL);
}

/* Does a domain begin at i: labels with dots between them, the last of two letters or more? */
static bool
is_domain(const Scan *scan, size_t i)
{
	int			labels = 0;

	for (size_t start = i;; start = ++i)
	{
		bool		letters = true;

		for (; i - start <= 63; i++)
		{
			char		c = at(scan, i);

			if (!pcapi_ascii_alnum(c) && (unsigned char) c < 0x80 && c != '-')
				break;
			letters = letters && !pcapi_ascii_digit(c) && c != '-';
		}
		if (i == start)
			return false;
		labels++;

		/* text may follow: two labels that end like a top-level domain are enough */
		if (labels >= 2 && i - start >= 2 &&
			(letters || (i - start > 4 && memcmp(scan->s + start, "xn--", 4) == 0)))
			return true;
		if (at(scan, i) != '.' || labels > 10)
			return false;
	}
}

/* Is the @ at i within an e-mail address? */
static bool
email_at(const Scan *scan, size_t i)
{
	return i > 0 && address_char(at(scan, i - 1)) && is_domain(scan, i + 1);
}

/* --- telephone: +cc..., or 00cc with blanks between the groups --- */

/* Can a number of so many digits and separators, of which so many are dots, be a phone number? */
static bool
is_phone(bool plus, int digits, int separators, int dots)
{
	if (plus)
		/* "+12345678.90" is an amount */
		return digits >= 8 && digits <= 15 && !(separators == 1 && dots == 1);
	return digits >= 9 && digits <= 15 && separators >= 2 && dots == 0;
}

/* Does a phone number begin at i, with + or 00? */
static bool
phone_at(const Scan *scan, size_t i)
{
	bool		plus = at(scan, i) == '+';
	int			digits = 0;
	int			separators = 0;
	int			dots = 0;

	if (i > 0 && (word_at(scan, i - 1) || at(scan, i - 1) == '+' ||
				  (!plus && strchr("-.,/:", at(scan, i - 1)) != NULL)))
		return false;
	if (plus)
		i++;
	else if (at(scan, i) == '0' && at(scan, i + 1) == '0')
		i += 2;
	else
		return false;
	if (plus && at(scan, i) == '(')
		i++;
	if (!digit_at(scan, i) || at(scan, i) == '0')
		return false;

	/* another number may follow, so any run of whole groups counts */
	for (;;)
	{
		size_t		next = i;

		while (digit_at(scan, next))
		{
			next++;
			digits++;
		}
		i = next;
		if (pcapi_ascii_alpha(at(scan, i)) || at(scan, i) == '_')
			return false;
		while (at(scan, next) != '\0' && next - i < 3 &&
			   strchr(" -./()", at(scan, next)) != NULL)
			next++;
		if (next == i || !digit_at(scan, next))
			return is_phone(plus, digits, separators, dots);
		if (!(next == i + 1 && at(scan, i) == '.') && is_phone(plus, digits, separators, dots))
			return true;
		separators++;
		if (next == i + 1 && at(scan, i) == '.')
			dots++;
		i = next;
	}
}

/* --- payment cards --- */

#define CARD_MIN 14
#define CARD_MAX 19

/* Check the last digit by Luhn's formula (ISO/IEC 7812-1, annex B). */
static bool
luhn(const char *digits, int n)
{
	int			sum = 0;

	for (int i = 0; i < n; i++)
	{
		int			d = digits[n - 1 - i] - '0';

		if (i % 2 == 1)
		{
			d *= 2;
			if (d > 9)
				d -= 9;
		}
		sum += d;
	}
	return sum % 10 == 0;
}

/* Check the last digit as a GTIN's: weights 3 and 1 from the right (GS1 General Specifications, 7.9). */
static bool
gtin(const char *digits, int n)
{
	int			sum = 0;

	for (int i = 0; i < n; i++)
		sum += (digits[n - 1 - i] - '0') * (i % 2 == 1 ? 3 : 1);
	return sum % 10 == 0;
}

/*
 * Does a number begin like a card of a scheme, and has it that scheme's length?
 * Compared on 2026-11-27 with CyberSource's "Card Type Identification" and with
 * github.com/braintree/credit-card-type: every range is a scheme's in one of them.
 * Of Maestro only the common issuers are here, because its whole ranges, all that
 * begins with 50, 56 to 64 or 66 to 69, have too many of shops' own numbers.
 */
static bool
card_issuer(const char *digits, int n)
{
	static const struct
	{
		int			low,
					high;		/* of the first four digits */
		int			shortest,
					longest;
	}			ranges[] = {
		{4000, 4999, 16, 16},	/* Visa */
		{4000, 4999, 19, 19},
		{5100, 5599, 16, 16},	/* Mastercard */
		{2221, 2720, 16, 16},
		{3400, 3499, 15, 15},	/* American Express */
		{3700, 3799, 15, 15},
		{6011, 6011, 16, 19},	/* Discover */
		{6440, 6599, 16, 19},
		{3000, 3059, 14, 14},	/* Diners Club */
		{3095, 3095, 14, 14},
		{3600, 3699, 14, 14},
		{3800, 3999, 14, 14},
		{3528, 3589, 16, 16},	/* JCB */
		{6200, 6299, 16, 19},	/* UnionPay */
		{5018, 5018, 16, 19},	/* Maestro */
		{5020, 5020, 16, 19},
		{5038, 5038, 16, 19},
		{5893, 5893, 16, 19},
		{6304, 6304, 16, 19},
		{6759, 6763, 16, 19}
	};
	int			first = 0;

	for (int i = 0; i < 4; i++)
		first = first * 10 + (digits[i] - '0');
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
	{
		if (first >= ranges[i].low && first <= ranges[i].high &&
			n >= ranges[i].shortest && n <= ranges[i].longest)
			return true;
	}
	return false;
}

/* Is it a card's number?  14 digits can also be a GTIN of a box, which is none. */
static bool
is_card(const char *digits, int n)
{
	return n >= CARD_MIN && n <= CARD_MAX && card_issuer(digits, n) &&
		luhn(digits, n) && !(n == 14 && gtin(digits, n));
}

/* Does a card number begin at i in these groups, with one separator throughout?  0 ends the list. */
static bool
grouped_card_at(const Scan *scan, size_t i, const int *groups)
{
	char		digits[CARD_MAX];
	char		separator = '\0';
	int			n = 0;

	for (int g = 0; groups[g] > 0; g++)
	{
		if (g == 1)
			separator = at(scan, i);
		if (g > 0 && ((separator != ' ' && separator != '-') || at(scan, i++) != separator))
			return false;
		for (int d = 0; d < groups[g]; d++)
		{
			if (!digit_at(scan, i))
				return false;
			digits[n++] = at(scan, i++);
		}
	}
	return ends_at(scan, i) && is_card(digits, n);
}

/* Does a card number begin at i, in one piece or in groups as embossed? */
static bool
card_at(const Scan *scan, size_t i)
{
	static const int embossed[][6] = {
		{4, 4, 4, 4, 0}, {4, 4, 4, 4, 3, 0}, {4, 6, 5, 0}, {4, 6, 4, 0}
	};
	size_t		end = i;

	if (!digit_at(scan, i) || !begins_at(scan, i))
		return false;
	while (digit_at(scan, end) && end - i <= CARD_MAX)
		end++;
	if (end - i >= CARD_MIN)
		return end - i <= CARD_MAX && ends_at(scan, end) &&
			is_card(scan->s + i, (int) (end - i));

	for (size_t g = 0; g < sizeof(embossed) / sizeof(embossed[0]); g++)
	{
		if (grouped_card_at(scan, i, embossed[g]))
			return true;
	}
	return false;
}

/*
 * --- US social security numbers: 3-2-4 with dashes ---
 *
 * The Social Security Administration assigns no area of 000, 666 or 900 to 999,
 * no group 00 and no serial number 0000, since the randomization of 2011-06-25
 * as before it.
 */

/* Does a social security number begin at i? */
static bool
ssn_at(const Scan *scan, size_t i)
{
	const char *s = scan->s + i;

	if (!begins_at(scan, i) || scan->len - i < 11)
		return false;
	for (int k = 0; k < 11; k++)
	{
		if (k == 3 || k == 6 ? s[k] != '-' : !pcapi_ascii_digit(s[k]))
			return false;
	}
	return ends_at(scan, i + 11) && s[0] != '9' && memcmp(s, "000", 3) != 0 &&
		memcmp(s, "666", 3) != 0 && memcmp(s + 4, "00", 2) != 0 &&
		memcmp(s + 7, "0000", 4) != 0;
}

/* --- IBAN --- */

#define IBAN_MAX 34

/*
 * Return the length of a country's IBANs, 0 for a country without.  From SWIFT's
 * IBAN Registry (ISO 13616), release 101, in iban.dat of python-stdnum of
 * 2026-01-04; compared on 2026-11-27.
 */
static int
iban_length(char c1, char c2)
{
	static const char table[] =
		"AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22"
		"DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28"
		"HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25"
		"MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29"
		"RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29"
		"VA22VG24XK20YE30";

	for (const char *entry = table; *entry != '\0'; entry += 4)
	{
		if (entry[0] == c1 && entry[1] == c2)
			return (entry[2] - '0') * 10 + (entry[3] - '0');
	}
	return 0;
}

/* Check by ISO 7064 mod 97-10, over the number with its first four characters last. */
static bool
iban_checksum(const char *iban, int n)
{
	int			rest = 0;

	for (int i = 0; i < n; i++)
	{
		char		c = iban[(i + 4) % n];

		if (pcapi_ascii_digit(c))
			rest = (rest * 10 + (c - '0')) % 97;
		else
			rest = (rest * 100 + (c - 'A' + 10)) % 97;
	}
	return rest == 1;
}

/* Does an IBAN begin at i, in one piece or in groups of four? */
static bool
iban_at(const Scan *scan, size_t i)
{
	char		iban[IBAN_MAX];
	int			n = 0;
	int			length;
	bool		grouped;

	if (!pcapi_ascii_alpha(at(scan, i)) || !pcapi_ascii_alpha(at(scan, i + 1)) ||
		!digit_at(scan, i + 2) || !digit_at(scan, i + 3) ||
		(i > 0 && word_at(scan, i - 1)))
		return false;
	length = iban_length((char) (at(scan, i) & ~0x20), (char) (at(scan, i + 1) & ~0x20));
	if (length == 0)
		return false;

	grouped = at(scan, i + 4) == ' ' || at(scan, i + 4) == '-';
	for (; n < length; i++)
	{
		char		c = at(scan, i);

		if (grouped && n > 0 && n % 4 == 0 && (c == ' ' || c == '-'))
			c = at(scan, ++i);
		if (!pcapi_ascii_alnum(c))
			return false;
		iban[n++] = pcapi_ascii_digit(c) ? c : (char) (c & ~0x20);
	}
	return !word_at(scan, i) && iban_checksum(iban, length);
}

/* Does a UUID begin at i: 8-4-4-4-12 hexadecimal digits? */
static bool
uuid_at(const Scan *scan, size_t i)
{
	if (scan->len - i < 36 || (i > 0 && word_at(scan, i - 1)) || word_at(scan, i + 36))
		return false;
	for (int k = 0; k < 36; k++)
	{
		char		c = at(scan, i + (size_t) k);

		if (k == 8 || k == 13 || k == 18 || k == 23 ? c != '-' :
			!(pcapi_ascii_digit(c) || (pcapi_ascii_lower(c) >= 'a' && pcapi_ascii_lower(c) <= 'f')))
			return false;
	}
	return true;
}

/* Return what the text looks like, or NULL; card numbers count if cards. */
static const char *
find(const char *text, size_t len, bool cards)
{
	Scan		scan = {.s = text, .len = len};

	for (size_t i = 0; i < len; i++)
	{
		char		c = text[i];

		if (c == '@')
		{
			if (email_at(&scan, i))
				return looks_email;
		}
		else if (c == '+')
		{
			if (phone_at(&scan, i))
				return looks_phone;
		}
		else if (pcapi_ascii_alnum(c))
		{
			if (uuid_at(&scan, i))
			{
				i += 35;
				continue;
			}
			if (pcapi_ascii_alpha(c))
			{
				if (iban_at(&scan, i))
					return looks_iban;
				continue;
			}
			if (c == '0' && phone_at(&scan, i))
				return looks_phone;
			if (ssn_at(&scan, i))
				return looks_ssn;
			if (cards && card_at(&scan, i))
				return looks_card;
		}
	}
	return NULL;
}

/* Return the value of a hexadecimal digit, -1 for any other character. */
static int
hex_value(char c)
{
	if (pcapi_ascii_digit(c))
		return c - '0';
	c = pcapi_ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Search the text as it is and, if it has percent escapes, as they decode. */
static const char *
find_decoded(const char *text, size_t len, bool cards)
{
	const char *found = find(text, len, cards);
	PcapiText	decoded;

	if (found != NULL || memchr(text, '%', len) == NULL)
		return found;
	pcapi_text_init(&decoded);
	if (pcapi_text_reserve(&decoded, len))
	{
		for (size_t i = 0; i < len; i++)
		{
			int			high = text[i] == '%' && len - i > 2 ? hex_value(text[i + 1]) : -1;
			int			low = high >= 0 ? hex_value(text[i + 2]) : -1;

			decoded.data[decoded.len++] = low >= 0 ? (char) (high * 16 + low) : text[i];
			i += low >= 0 ? 2 : 0;
		}
		found = find(decoded.data, decoded.len, cards);
	}
	pcapi_text_free(&decoded);
	return found;
}

/* Search free text. */
const char *
pcapi_pii_find(const char *text, size_t len)
{
	return find_decoded(text, len, true);
}

/*
 * Search an id, without card numbers.  Shops count their variants with 14 digits
 * and their orders with 16: of those that begin like a card's number, each tenth
 * has a card's check digit.
 */
const char *
pcapi_pii_find_in_id(const char *id, size_t len)
{
	return find_decoded(id, len, false);
}

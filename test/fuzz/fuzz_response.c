/*
 * fuzz_response.c
 *	  Read any bytes as an answer of the API, by src/worker/response.c itself
 *	  with PostgreSQL's JSON parser (server.c has the rest of a server).
 *
 * First byte: how many events the request had.  Second byte: the status.  Third
 * byte: encoding, transport, and whether two lines with numbers of headers stand
 * before the body.
 */
#include "pinterest_capi.h"

#include "check.h"
#include "core/text.h"
#include "mb/pg_wchar.h"
#include "server.h"
#include "worker/response.h"
#include "worker/transfer.h"

#undef printf
#undef fprintf
#undef malloc
#undef free

#define TOKEN "pina_FUZZ"

static const int statuses[] = {200, 201, 207, 400, 413, 422, 401, 403, 404, 408, 425, 429, 418, 301, 500, 503, 100, 999, 0, 421, 499, 502, 511};

/* Check that a message can be stored and shown. */
static void
check_message(const char *message, size_t most)
{
	if (message == NULL)
		return;
	CHECK(message[0] != '\0' && strlen(message) <= most);
	CHECK(pcapi_utf8_valid(message, strlen(message)));
	CHECK(strstr(message, TOKEN) == NULL);
	for (const char *c = message; *c != '\0'; c++)
	{
		CHECK((unsigned char) *c >= ' ' && *c != 0x7f);
		CHECK(fuzz_encoding == PG_UTF8 || !IS_HIGHBIT_SET(*c));
	}
}

/* Move a line from the body to another buffer. */
static void
take_line(char *to, size_t size, const char **body, size_t *len)
{
	const char *end = memchr(*body, '\n', *len);
	size_t		n = end ? (size_t) (end - *body) : *len;

	memcpy(to, *body, Min(n, size - 1));
	to[Min(n, size - 1)] = '\0';
	*body += end ? n + 1 : n;
	*len -= end ? n + 1 : n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PcapiRequest request = {0};
	PcapiAnswer *answer;
	const char *body;
	char		line[64];
	size_t		len;
	int			n;

	if (size < 3)
		return 0;
	n = data[0] % 8 + 1;
	request.status = statuses[data[1] % lengthof(statuses)];
	fuzz_encoding = (data[2] & 1) ? PG_LATIN1 : PG_UTF8;
	request.transport = (data[2] & 0xE) == 0xE ? (PcapiHttpResult) (data[2] >> 4) % 5 : PCAPI_HTTP_ANSWERED;
	body = (const char *) data + 3;
	len = size - 3;
	if (request.transport != PCAPI_HTTP_ANSWERED)
		take_line(request.error, sizeof(request.error), &body, &len);
	else if (data[2] & 0x80)
	{
		take_line(line, sizeof(line), &body, &len);
		request.retry_after = strtol(line, NULL, 10) & 0x7FFF;
		take_line(line, sizeof(line), &body, &len);
		request.ratelimit_reset = strtoll(line, NULL, 10) & INT64_MAX;
		request.ratelimit_exhausted = true;
	}
	request.answer = malloc(len + 1);
	memcpy(request.answer, body, len);
	request.answer[len] = '\0';
	request.answer_len = len;

	answer = pcapi_read_response(&request, n, TOKEN);
	CHECK(answer->verdict <= PCAPI_VERDICT_PAUSE);
	CHECK(answer->wait_ms >= 0 && answer->wait_ms <= 86400 * 1000);
	CHECK((answer->message == NULL) == (answer->verdict == PCAPI_VERDICT_ENTRIES));
	check_message(answer->message, 1200);
	if (answer->verdict == PCAPI_VERDICT_ENTRIES)
	{
		CHECK(request.transport == PCAPI_HTTP_ANSWERED && answer->entries != NULL);
		for (int i = 0; i < n; i++)
		{
			check_message(answer->entries[i].error, 500);
			check_message(answer->entries[i].warning, 500);
		}
	}
	/* only a 2xx, or a refusal with entries, settles single events */
	if (answer->verdict == PCAPI_VERDICT_ENTRIES)
		CHECK((answer->http_status >= 200 && answer->http_status < 300) || answer->http_status == 400 ||
			  answer->http_status == 413 || answer->http_status == 422);
	fuzz_free_all();
	free(request.answer);
	return 0;
}
